-- The board: what each server on this database alone has seen, told to the others. None of it takes a
-- revision. Unlogged: a crash empties it, and every server writes what it knows again.
--
-- The table of before was never used. In this one each server has rows of its own, so that no late word
-- of one can undo another's: who has moved is at two servers for a moment, and readers take the later
-- connection. Times are the database's, so that the servers' clocks are not compared.

DROP TABLE instances;

-- The servers. A row counts until its lease ends. `report` is the number of the server's newest report
-- and `before` the one that it found: a late report changes nothing, and a lost one is noticed.
CREATE UNLOGGED TABLE replicas (
    replica uuid PRIMARY KEY,
    name text NOT NULL,
    report bigint NOT NULL,
    before bigint,
    until_micros bigint NOT NULL
) WITH (fillfactor = 50);

-- Connected clients with their newest outcome. `watched` is what a reader has to be allowed to read to
-- see the row; `report` the report that told of it last.
CREATE UNLOGGED TABLE instances (
    replica uuid NOT NULL,
    connection bigint NOT NULL,
    service text NOT NULL,
    profile text NOT NULL,
    instance text NOT NULL,
    version text NOT NULL,
    host text NOT NULL,
    prefix text NOT NULL,
    watched text NOT NULL,
    connected_micros bigint NOT NULL,
    sent_epoch bigint,
    sent_revision bigint,
    sent_tag bigint,
    applied_epoch bigint,
    applied_revision bigint,
    applied_tag bigint,
    rejected text,
    report bigint NOT NULL,
    PRIMARY KEY (replica, connection)
) WITH (fillfactor = 50);

-- How the newest revisions reached each instance.
CREATE UNLOGGED TABLE deliveries (
    epoch bigint NOT NULL,
    revision bigint NOT NULL,
    replica uuid NOT NULL,
    connection bigint NOT NULL,
    service text NOT NULL,
    profile text NOT NULL,
    instance text NOT NULL,
    watched text NOT NULL,
    delivered_nanos bigint NOT NULL,
    applied_nanos bigint NOT NULL,
    rejected text,
    PRIMARY KEY (epoch, revision, replica, connection)
);

-- How long it took to store them, as only the server knows that each was committed at.
CREATE UNLOGGED TABLE stored_times (
    epoch bigint NOT NULL,
    revision bigint NOT NULL,
    replica uuid NOT NULL,
    took_nanos bigint NOT NULL,
    PRIMARY KEY (epoch, revision, replica)
);

-- What git-sync last said of each source.
CREATE UNLOGGED TABLE sync_reports (
    source text COLLATE "C" PRIMARY KEY,
    git_commit text NOT NULL,
    accepted boolean NOT NULL,
    faults jsonb NOT NULL,
    at_micros bigint NOT NULL,
    reported_by text NOT NULL,
    received_micros bigint NOT NULL
);
