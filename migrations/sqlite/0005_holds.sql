-- Holds put, renewed (held) and ended by each transaction; see the same file for Postgres.
CREATE TABLE hold_changes (
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    held INTEGER NOT NULL,
    source TEXT NOT NULL,
    git_value BLOB,
    git_flags INTEGER NOT NULL,
    against_value BLOB NOT NULL,
    against_flags INTEGER NOT NULL,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    since_micros INTEGER NOT NULL,
    expires_micros INTEGER NOT NULL,
    PRIMARY KEY (key, revision)
) STRICT;

CREATE INDEX hold_changes_by_revision ON hold_changes (revision);

-- Points from each held key to the newest change of its hold.
CREATE TABLE holds (
    key TEXT PRIMARY KEY,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
