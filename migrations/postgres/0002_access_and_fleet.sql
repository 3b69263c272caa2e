-- Who may do what, who tried, and which instances run. None of it takes a revision.

-- Only a token's SHA-256 is stored. Rules are a list of {"prefix" or "key", "rights"}.
CREATE TABLE tokens (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    rules jsonb NOT NULL,
    created_micros bigint NOT NULL,
    created_by text NOT NULL,
    expires_micros bigint,
    revoked_micros bigint
);

-- Access that was granted or refused, beside the commits, which name their author themselves.
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_micros bigint NOT NULL,
    who text NOT NULL,
    via text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    allowed boolean NOT NULL,
    detail text NOT NULL
);

CREATE INDEX audit_by_time ON audit (at_micros);

-- Connected clients with their newest outcome. Unlogged: a crash empties it and the next reports
-- fill it again. `connected_micros` guards against a late report of an earlier connection.
CREATE UNLOGGED TABLE instances (
    instance text PRIMARY KEY,
    service text NOT NULL,
    profile text NOT NULL,
    version text NOT NULL,
    host text NOT NULL,
    replica text NOT NULL,
    connected_micros bigint NOT NULL,
    gone_micros bigint,
    seen_micros bigint NOT NULL,
    epoch bigint,
    revision bigint,
    tag bigint,
    outcome jsonb
) WITH (fillfactor = 50);
