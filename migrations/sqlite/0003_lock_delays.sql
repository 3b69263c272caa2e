-- Keys whose lock was held by a session that has ended, with the time until which nobody may take it.
CREATE TABLE lock_delays (
    key TEXT PRIMARY KEY,
    until_micros INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
