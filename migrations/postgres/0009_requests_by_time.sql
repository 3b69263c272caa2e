-- Old answers are looked for once in a while, no longer in each commit. Answers come in the order of
-- their time, so that an index of one entry for many pages does, which costs a commit next to nothing.
CREATE INDEX requests_by_time ON requests USING brin (at_micros);

DROP INDEX requests_by_age;
