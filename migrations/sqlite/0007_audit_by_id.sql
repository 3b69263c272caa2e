-- An id rises with the time: a range of ids finds what an index on the time found, and each record is in
-- one index less.
DROP INDEX audit_by_time;
