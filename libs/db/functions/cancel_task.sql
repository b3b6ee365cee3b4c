-- Ends a task that is waiting as CANCELLED; marks one that runs, which then ends so unless it completes, and tells its worker.
-- Returns cancelled (by now or before), cancelling, ended where it has ended otherwise, or null for an unknown id.
-- Locks: lock_task; elect_heads.
CREATE OR REPLACE FUNCTION cancel_task(task_id bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE locked record;
BEGIN
  SELECT (l.target).status, (l.target).attempt, (l.target).partition_id, (l.target).key, (l.target).serial, l.running INTO locked
  FROM lock_task(task_id) AS l;
  IF locked.status IS NULL OR locked.status = 'CANCELLED' THEN
    RETURN lower(locked.status);
  END IF;
  IF locked.status <> 'PENDING' THEN
    RETURN 'ended';
  END IF;
  IF locked.running THEN
    UPDATE task t SET cancel_requested_at = now(), revision = t.revision + 1
    WHERE t.id = task_id AND t.cancel_requested_at IS NULL;
    -- The attempt too, since the task may run again before this is heard.
    PERFORM pg_notify('task_cancel', format('%s:%s', task_id, locked.attempt + 1));
    RETURN 'cancelling';
  END IF;
  UPDATE task t SET status = 'CANCELLED', completed_at = now(), revision = t.revision + 1 WHERE t.id = task_id;
  IF locked.serial THEN
    PERFORM elect_heads(ARRAY[locked.partition_id], ARRAY[locked.key]);
  END IF;
  RETURN 'cancelled';
END $$;
