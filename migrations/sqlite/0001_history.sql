-- What the store keeps: every commit with its changes, and pointers to the newest state.
--
-- The same tables as in Postgres; see there for the whole explanation. Ids are 16-byte blobs,
-- truth values 0 and 1, lists JSON text.

-- The newest state's name, and the revision below which history is forgotten.
CREATE TABLE head (
    single INTEGER PRIMARY KEY DEFAULT 1 CHECK (single = 1),
    epoch INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    tag INTEGER NOT NULL,
    floor INTEGER NOT NULL
) STRICT;

-- The state at which each lineage began; the first is the empty store.
CREATE TABLE epochs (
    epoch INTEGER PRIMARY KEY,
    revision INTEGER NOT NULL,
    tag INTEGER NOT NULL,
    began_micros INTEGER NOT NULL
) STRICT;

CREATE TABLE transactions (
    revision INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    tag INTEGER NOT NULL,
    at_micros INTEGER NOT NULL,
    request_id BLOB,
    author TEXT NOT NULL,
    message TEXT NOT NULL,
    via TEXT NOT NULL,
    repository TEXT,
    branch TEXT,
    git_commit TEXT,
    source_name TEXT,
    source_expected TEXT,
    source_commit TEXT,
    source_profiles TEXT,
    stages TEXT NOT NULL
) STRICT;

-- What each transaction left at each key it touched; no value is a deletion.
CREATE TABLE changes (
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    value BLOB,
    flags INTEGER NOT NULL,
    create_revision INTEGER NOT NULL,
    lock_index INTEGER NOT NULL,
    session BLOB,
    owner TEXT,
    PRIMARY KEY (key, revision)
) STRICT;

CREATE INDEX changes_by_revision ON changes (revision);

-- Points from each key to its newest change. Deleted keys stay until compaction as tombstones.
CREATE TABLE latest (
    key TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    deleted INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Sessions opened (live) and ended by each transaction.
CREATE TABLE session_changes (
    session BLOB NOT NULL,
    revision INTEGER NOT NULL,
    live INTEGER NOT NULL,
    name TEXT NOT NULL,
    behavior TEXT NOT NULL CHECK (behavior IN ('release', 'delete')),
    ttl_nanos INTEGER,
    lock_delay_nanos INTEGER NOT NULL,
    create_revision INTEGER NOT NULL,
    PRIMARY KEY (session, revision)
) STRICT;

CREATE INDEX session_changes_by_revision ON session_changes (revision);

-- Points from each live session to the change that opened it. Renewals beat here.
CREATE TABLE sessions (
    session BLOB PRIMARY KEY,
    revision INTEGER NOT NULL,
    renewed_micros INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The applied commit of each git source.
CREATE TABLE sources (
    name TEXT PRIMARY KEY,
    git_commit TEXT NOT NULL,
    profiles TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    tag INTEGER NOT NULL,
    at_micros INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- First outcomes, so that a retry changes nothing again. Rows older than a day are pruned.
CREATE TABLE requests (
    id BLOB PRIMARY KEY,
    committed INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    tag INTEGER NOT NULL,
    at_micros INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX requests_by_age ON requests (at_micros);

-- The empty store is a state like any other: its tag tells two empty databases apart.
INSERT INTO epochs (epoch, revision, tag, began_micros)
VALUES (1, 0, random(), CAST(round(unixepoch('subsec') * 1000000) AS INTEGER));

INSERT INTO head (epoch, revision, tag, floor)
SELECT epoch, revision, tag, 0 FROM epochs;
