-- Outcomes are recorded a claimer at a time. Its arguments change: cluster-init creates it anew.
DROP FUNCTION IF EXISTS finish_tasks(
  integer[], bigint[], bigint[], integer[], text[], text, double precision[], text[], double precision[], text[]
);

-- Whether an incarnation runs anything, which every renewal of a lease may ask. Without the id: with it, a claim's look for the
-- records of a partition took this index in place of the one by partition, where the table was empty when it was analysed.
DROP INDEX claim_record_incarnation;
CREATE INDEX claim_record_incarnation ON claim_record (incarnation);
