-- Who may do what, and who tried. The fleet is kept in memory with SQLite.

-- Only a token's SHA-256 is stored. Rules are a list of {"prefix" or "key", "rights"}.
CREATE TABLE tokens (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    rules TEXT NOT NULL,
    created_micros INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_micros INTEGER,
    revoked_micros INTEGER
) STRICT, WITHOUT ROWID;

-- Access that was granted or refused, beside the commits, which name their author themselves.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at_micros INTEGER NOT NULL,
    who TEXT NOT NULL,
    via TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    allowed INTEGER NOT NULL,
    detail TEXT NOT NULL
) STRICT;

CREATE INDEX audit_by_time ON audit (at_micros);
