-- What insert_tasks returns of reserved ids changes, and so do its arguments, that no earlier build calls it: cluster-init creates
-- it anew.
DROP FUNCTION IF EXISTS insert_tasks(
  text[], text[], text[], bigint[], bigint[], text[], text[], text[], double precision, bigint[], integer[], boolean
);
