-- For a role of the name `scheduler` all that came after the schema of that name was made in it, and hid what is in the other: what
-- is missing there is moved, the rest is empty, or is made anew.
DO $$
DECLARE
  home CONSTANT name := current_schema();
  item record;
  filled boolean;
BEGIN
  IF to_regclass('scheduler.retention') IS NOT NULL THEN
    EXECUTE format('ALTER TABLE scheduler.retention SET SCHEMA %I', home);
    DROP VIEW task_state;
    EXECUTE format('ALTER VIEW scheduler.task_state SET SCHEMA %I', home);
    FOR item IN SELECT oid::regclass AS relation, relname FROM pg_class WHERE relnamespace = 'scheduler'::regnamespace AND relkind = 'r' LOOP
      EXECUTE format('SELECT EXISTS (SELECT FROM %s)', item.relation) INTO filled;
      IF filled AND item.relname <> 'schema_migration' THEN
        RAISE EXCEPTION 'table % of the schema scheduler is not empty', item.relname;
      END IF;
      EXECUTE format('DROP TABLE %s CASCADE', item.relation);
    END LOOP;
    -- All named before the first goes, as some go with others.
    EXECUTE coalesce((
      SELECT string_agg(format('DROP FUNCTION IF EXISTS %s CASCADE', oid::regprocedure), '; ')
      FROM pg_proc WHERE pronamespace = 'scheduler'::regnamespace AND proname <> 'submit_task'
    ), '');
  END IF;
END $$;

-- A payload is passed on, and never looked into: as json it is neither taken apart when it is stored nor put together again when
-- it is claimed, and mostly shorter. The table is written anew, a million tasks in three seconds, and all others wait for that.
-- Readers of the view find jsonb as before, and keep their rights; it is replaced twice, since no column may change its type that
-- a view shows.
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
