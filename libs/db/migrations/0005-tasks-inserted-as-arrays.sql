-- What insert_tasks returns changes: cluster-init creates it anew.
DROP FUNCTION IF EXISTS insert_tasks(
  text[], text[], text[], bigint[], bigint[], text[], text[], text[], double precision, boolean
);
