-- Who did what, or was refused it, from where. Nothing has written the table of before.
DROP TABLE audit;

-- An id is a UUID of version 7: it rises with the time, and a batch that is written again after a lost
-- answer is there once. `times` stands for so many equal ones.
CREATE TABLE audit (
    id uuid PRIMARY KEY,
    at_micros bigint NOT NULL,
    who text NOT NULL,
    dialect text NOT NULL,
    peer text NOT NULL,
    action text NOT NULL,
    target_kind text NOT NULL,
    target text COLLATE "C" NOT NULL,
    outcome text NOT NULL,
    revision bigint,
    times bigint NOT NULL,
    detail text NOT NULL
);

CREATE INDEX audit_by_time ON audit (at_micros);
CREATE INDEX audit_by_who ON audit (who, id);
CREATE INDEX audit_by_target ON audit (target, id);
