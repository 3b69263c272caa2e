-- What the store keeps: every commit with its changes, and pointers to the newest state.
--
-- Times are microseconds since 1970 UTC, durations nanoseconds: the numbers that the program holds.
-- Numbers without a sign (tags, flags) are stored as the signed number of the same bits.
-- There are no foreign keys: compaction keeps a live value's change after its transaction is gone.

-- The newest state's name, and the revision below which history is forgotten. Its one row is locked
-- by whoever commits, so revisions come in commit order and without gaps.
CREATE TABLE head (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    epoch bigint NOT NULL,
    revision bigint NOT NULL,
    tag bigint NOT NULL,
    floor bigint NOT NULL
) WITH (fillfactor = 10);

-- The state at which each lineage began; the first is the empty store.
CREATE TABLE epochs (
    epoch bigint PRIMARY KEY,
    revision bigint NOT NULL,
    tag bigint NOT NULL,
    began_micros bigint NOT NULL
);

CREATE TABLE transactions (
    revision bigint PRIMARY KEY,
    epoch bigint NOT NULL,
    tag bigint NOT NULL,
    at_micros bigint NOT NULL,
    request_id uuid,
    author text NOT NULL,
    message text NOT NULL,
    via text NOT NULL,
    repository text,
    branch text,
    git_commit text,
    source_name text,
    source_expected text,
    source_commit text,
    source_profiles jsonb,
    stages jsonb NOT NULL
);

-- What each transaction left at each key it touched; no value is a deletion.
CREATE TABLE changes (
    key text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    value bytea,
    flags bigint NOT NULL,
    create_revision bigint NOT NULL,
    lock_index bigint NOT NULL,
    session uuid,
    owner text,
    PRIMARY KEY (key, revision)
);

CREATE INDEX changes_by_revision ON changes (revision);

-- Points from each key to its newest change, so that the newest state is found without reading the
-- history and no value is stored twice. Deleted keys stay until compaction as tombstones.
CREATE TABLE latest (
    key text COLLATE "C" PRIMARY KEY,
    revision bigint NOT NULL,
    deleted boolean NOT NULL
);

-- Sessions opened (live) and ended by each transaction.
CREATE TABLE session_changes (
    session uuid NOT NULL,
    revision bigint NOT NULL,
    live boolean NOT NULL,
    name text NOT NULL,
    behavior text NOT NULL CHECK (behavior IN ('release', 'delete')),
    ttl_nanos bigint,
    lock_delay_nanos bigint NOT NULL,
    create_revision bigint NOT NULL,
    PRIMARY KEY (session, revision)
);

CREATE INDEX session_changes_by_revision ON session_changes (revision);

-- Points from each live session to the change that opened it. Renewals beat here: they take no
-- revision.
CREATE TABLE sessions (
    session uuid PRIMARY KEY,
    revision bigint NOT NULL,
    renewed_micros bigint NOT NULL
) WITH (fillfactor = 50);

-- The applied commit of each git source.
CREATE TABLE sources (
    name text COLLATE "C" PRIMARY KEY,
    git_commit text NOT NULL,
    profiles jsonb NOT NULL,
    epoch bigint NOT NULL,
    revision bigint NOT NULL,
    tag bigint NOT NULL,
    at_micros bigint NOT NULL
);

-- First outcomes, so that a retry changes nothing again. Rows older than a day are pruned.
CREATE TABLE requests (
    id uuid PRIMARY KEY,
    committed boolean NOT NULL,
    epoch bigint NOT NULL,
    revision bigint NOT NULL,
    tag bigint NOT NULL,
    at_micros bigint NOT NULL
);

CREATE INDEX requests_by_age ON requests (at_micros);

-- The empty store is a state like any other: its tag tells two empty databases apart.
INSERT INTO epochs (epoch, revision, tag, began_micros)
SELECT
    1,
    0,
    ('x' || left(md5(gen_random_uuid()::text), 16))::bit(64)::bigint,
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;

INSERT INTO head (epoch, revision, tag, floor)
SELECT epoch, revision, tag, 0 FROM epochs;
