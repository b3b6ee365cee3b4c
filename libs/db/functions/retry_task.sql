-- Has a task that is FAILED or CANCELLED wait again, due now, with all its failures forgiven; attempts are counted on. A serial one takes
-- its place in line again, by its first time.
-- Returns retried, running, waiting or completed where it is none of these, or null for an unknown id. Locks: lock_task; elect_heads.
CREATE OR REPLACE FUNCTION retry_task(task_id bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  locked record;
  at timestamptz := date_trunc('milliseconds', now());
BEGIN
  SELECT (l.target).status, (l.target).partition_id, (l.target).key, (l.target).serial, l.running INTO locked
  FROM lock_task(task_id) AS l;
  IF locked.status IS NULL OR locked.status IN ('PENDING', 'COMPLETED') THEN
    RETURN CASE WHEN locked.running THEN 'running' WHEN locked.status = 'PENDING' THEN 'waiting'
                ELSE lower(locked.status) END;
  END IF;
  -- Its retries count from now on as well.
  UPDATE task t
  SET status = 'PENDING', failures = 0, scheduled_at = least(t.scheduled_at, at), due_at = at,
      completed_at = NULL, cancel_requested_at = NULL, blocked = CASE WHEN t.serial THEN true END, revision = t.revision + 1
  WHERE t.id = task_id;
  IF locked.serial THEN
    PERFORM elect_heads(ARRAY[locked.partition_id], ARRAY[locked.key]);
  END IF;
  PERFORM notify_task_due(ARRAY[locked.partition_id], at);
  RETURN 'retried';
END $$;
