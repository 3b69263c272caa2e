-- Who did what, or was refused it, from where. Nothing has written the table of before.
DROP TABLE audit;

-- An id is a UUID of version 7: it rises with the time. `times` stands for so many equal ones.
CREATE TABLE audit (
    id BLOB PRIMARY KEY,
    at_micros INTEGER NOT NULL,
    who TEXT NOT NULL,
    dialect TEXT NOT NULL,
    peer TEXT NOT NULL,
    action TEXT NOT NULL,
    target_kind TEXT NOT NULL,
    target TEXT NOT NULL,
    outcome TEXT NOT NULL,
    revision INTEGER,
    times INTEGER NOT NULL,
    detail TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX audit_by_time ON audit (at_micros);
CREATE INDEX audit_by_who ON audit (who, id);
CREATE INDEX audit_by_target ON audit (target, id);
