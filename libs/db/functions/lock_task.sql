-- What stands before every change that a user makes to a task: locks it, so that nothing else becomes of it until the caller
-- commits. target is null for an unknown id; running says whether a record of a claim names its next attempt.
--
-- Locks: the owner row of the task's partition, FOR NO KEY UPDATE, in a statement of its own: a claim that is under way
-- is waited for, and the next statement sees its record; one that comes later waits, and finds the task as the caller has
-- left it. (FOR SHARE would let one change after another hold up a claim that waits for none of them to be there.) Then the
-- task's row, FOR UPDATE: an outcome or a recovery comes before, and what it has left is judged, or after, and finds
-- the change.
CREATE OR REPLACE FUNCTION lock_task(task_id bigint, OUT target task, OUT running boolean) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM partition_owner o JOIN task t ON t.partition_id = o.partition_id WHERE t.id = task_id FOR NO KEY UPDATE OF o;
  SELECT * INTO target FROM task t WHERE t.id = task_id FOR UPDATE;
  running := target.status = 'PENDING' AND EXISTS (
    SELECT FROM claim_record c
    WHERE c.partition_id = target.partition_id
      AND c.attempts[array_position(c.task_ids, target.id)] = target.attempt + 1
  );
END $$;
