-- Holds put, renewed (held) and ended by each transaction: a key that stays as it is against its git
-- source, with what git has there. No git value means that git has no such file. Nothing but the
-- ending is kept of a hold that ended.
CREATE TABLE hold_changes (
    key text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    held boolean NOT NULL,
    source text NOT NULL,
    git_value bytea,
    git_flags bigint NOT NULL,
    against_value bytea NOT NULL,
    against_flags bigint NOT NULL,
    author text NOT NULL,
    reason text NOT NULL,
    since_micros bigint NOT NULL,
    expires_micros bigint NOT NULL,
    PRIMARY KEY (key, revision)
);

CREATE INDEX hold_changes_by_revision ON hold_changes (revision);

-- Points from each held key to the newest change of its hold.
CREATE TABLE holds (
    key text COLLATE "C" PRIMARY KEY,
    revision bigint NOT NULL
);
