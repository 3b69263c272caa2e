-- Keys whose lock was held by a session that has ended, with the time until which nobody may take it.
-- Written with the session's end; takes no revision. Rows of the past are pruned.
CREATE TABLE lock_delays (
    key text COLLATE "C" PRIMARY KEY,
    until_micros bigint NOT NULL
);
