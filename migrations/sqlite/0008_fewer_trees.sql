-- Each commit writes a page of every table and index that it touches, and waits for the disk to have
-- them: fewer are quicker.

-- Kept in the order of the commits, the changes need no index on it.
CREATE TABLE changes_by_commit (
    revision INTEGER NOT NULL,
    key TEXT NOT NULL,
    value BLOB,
    flags INTEGER NOT NULL,
    create_revision INTEGER NOT NULL,
    lock_index INTEGER NOT NULL,
    session BLOB,
    owner TEXT,
    PRIMARY KEY (revision, key)
) STRICT, WITHOUT ROWID;

INSERT INTO changes_by_commit
SELECT revision, key, value, flags, create_revision, lock_index, session, owner
FROM changes
ORDER BY revision, key;

DROP TABLE changes;

ALTER TABLE changes_by_commit RENAME TO changes;

CREATE UNIQUE INDEX changes_by_key ON changes (key, revision);

-- Old answers are looked for once in a while.
DROP INDEX requests_by_age;
