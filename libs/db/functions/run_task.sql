-- Makes a task that waits due now; a serial one waits for its turn all the same, which is that of the present time. Returns due, running, completed, failed or cancelled where it does not wait, or null for an
-- unknown id. Locks: lock_task; elect_heads.
CREATE OR REPLACE FUNCTION run_task(task_id bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  locked record;
  at timestamptz := date_trunc('milliseconds', now());
BEGIN
  SELECT (l.target).status, (l.target).partition_id, (l.target).key, (l.target).serial, l.running INTO locked
  FROM lock_task(task_id) AS l;
  IF locked.status IS NULL OR locked.status <> 'PENDING' THEN
    RETURN lower(locked.status);
  END IF;
  IF locked.running THEN
    RETURN 'running';
  END IF;
  -- Its retries count from now on as well.
  UPDATE task t SET scheduled_at = least(t.scheduled_at, at), due_at = least(t.due_at, at), revision = t.revision + 1
  WHERE t.id = task_id;
  IF locked.serial THEN
    PERFORM elect_heads(ARRAY[locked.partition_id], ARRAY[locked.key]);
  END IF;
  PERFORM notify_task_due(ARRAY[locked.partition_id], at);
  RETURN 'due';
END $$;
