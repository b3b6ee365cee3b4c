-- Removes a task that is waiting or has ended; marks one that runs, which then goes with its outcome.
-- Returns removed, cancelling, or null for an unknown id.
--
-- Locks: the owner row of the task's partition, FOR NO KEY UPDATE, in a statement of its own: a claim that is under way
-- is waited for, and the next statement sees its record; one that comes later waits, and finds the task gone. (FOR SHARE
-- would let one removal after another hold up a claim that waits for none of them to be there.) Then the
-- task's row, FOR UPDATE: an outcome or a recovery comes before, and what it has left is judged, or after, and finds
-- the mark.
CREATE OR REPLACE FUNCTION remove_task(task_id bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE target task;
BEGIN
  PERFORM FROM partition_owner o JOIN task t ON t.partition_id = o.partition_id WHERE t.id = task_id FOR NO KEY UPDATE OF o;
  SELECT * INTO target FROM task t WHERE t.id = task_id FOR UPDATE;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  IF target.status = 'PENDING' AND EXISTS (
    SELECT FROM claim_record c
    WHERE c.partition_id = target.partition_id
      AND c.attempts[array_position(c.task_ids, target.id)] = target.attempt + 1
  ) THEN
    UPDATE task t SET cancel_requested_at = now() WHERE t.id = task_id AND t.cancel_requested_at IS NULL;
    RETURN 'cancelling';
  END IF;
  DELETE FROM task t WHERE t.id = task_id;
  RETURN 'removed';
END $$;
