-- Its arguments change: cluster-init creates it anew, for workers of the build before as well.
DROP FUNCTION IF EXISTS recover_tasks(integer[], bigint[], text[], integer, double precision, jsonb, text[]);
