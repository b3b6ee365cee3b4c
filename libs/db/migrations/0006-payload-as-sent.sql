-- A payload is passed on, and never looked into: as json it is neither taken apart when it is stored nor put together again when
-- it is claimed, and mostly shorter. The table is written anew, a million tasks in three seconds, and
-- all others wait for that. Readers of the view find jsonb as
-- before, and keep their rights; it is replaced twice, since no column may change its type that a view shows.
DO $$
DECLARE
  view CONSTANT text := pg_get_viewdef('task_state'::regclass);
BEGIN
  EXECUTE 'CREATE OR REPLACE VIEW task_state AS ' || replace(view, 't.payload', 'NULL::jsonb AS payload');
  ALTER TABLE task ALTER COLUMN payload TYPE json USING payload::text::json;
  EXECUTE 'CREATE OR REPLACE VIEW task_state AS ' || replace(view, 't.payload', 't.payload::jsonb AS payload');
END $$;
-- What a worker has prepared that reads the column would be refused from now on: it connects anew, and waits for the commit.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name LIKE 'worker %';

-- Their arguments change, and what insert_tasks returns of reserved ids: cluster-init creates them anew, so that no earlier build
-- stores tasks and misreads the answer.
DROP FUNCTION IF EXISTS insert_tasks(
  text[], text[], text[], bigint[], bigint[], text[], text[], text[], double precision, bigint[], integer[], boolean
);
DROP FUNCTION IF EXISTS patch_task(bigint, text[], timestamptz, jsonb, integer, smallint);
