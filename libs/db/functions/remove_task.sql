-- Removes a task that is waiting or has ended; marks one that runs, which then goes with its outcome, and tells its worker.
-- Returns removed, cancelling, or null for an unknown id. Locks: lock_task; elect_heads.
CREATE OR REPLACE FUNCTION remove_task(task_id bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE locked record;
BEGIN
  SELECT (l.target).id, (l.target).attempt, (l.target).partition_id, (l.target).key, (l.target).serial, l.running INTO locked
  FROM lock_task(task_id) AS l;
  IF locked.id IS NULL THEN
    RETURN NULL;
  END IF;
  IF NOT locked.running THEN
    DELETE FROM task t WHERE t.id = task_id;
    DELETE FROM task_attempt a WHERE a.task_id = remove_task.task_id;
    IF locked.serial THEN
      PERFORM elect_heads(ARRAY[locked.partition_id], ARRAY[locked.key]);
    END IF;
    RETURN 'removed';
  END IF;
  UPDATE task t SET cancel_requested_at = coalesce(t.cancel_requested_at, now()), removal_requested = true
  WHERE t.id = task_id AND NOT t.removal_requested;
  PERFORM pg_notify('task_cancel', format('%s:%s', task_id, locked.attempt + 1));
  RETURN 'cancelling';
END $$;
