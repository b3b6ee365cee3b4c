-- Outcomes are recorded a claimer at a time, and what an incarnation runs is looked for in the whole table of records, which is
-- small: an index of it cost every claim more than it ever saved, and was taken, where the table was empty when it was
-- analysed, in place of the one by partition.

-- Its arguments change: cluster-init creates it anew.
DROP FUNCTION IF EXISTS finish_tasks(
  integer[], bigint[], bigint[], integer[], text[], text, double precision[], text[], double precision[], text[]
);
DROP INDEX claim_record_incarnation;
