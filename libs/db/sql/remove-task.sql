-- Removes a task that is waiting or has ended; marks one that runs, whose record then goes with its outcome.
-- $1 id
-- Returns one row: removed, cancelling, or null for an unknown id.
-- Locks: the task's row, FOR UPDATE. Races with a claim and with an outcome: it waits for them and then judges
-- the state they left. A claim that comes second skips the locked row. After such a wait the update first meets
-- the row of the snapshot, and its new form is checked against the table's constraints before the newest row is
-- found and taken instead: hence the CASE, which lets that first form, still PENDING, pass.
WITH target AS MATERIALIZED (
  SELECT id, status = 'RUNNING' AS running FROM task WHERE id = $1::bigint FOR UPDATE
), removed AS (
  DELETE FROM task USING target WHERE task.id = target.id AND NOT target.running
), marked AS (
  UPDATE task SET cancel_requested_at = CASE WHEN status = 'RUNNING' THEN coalesce(cancel_requested_at, now()) END
  FROM target WHERE task.id = target.id AND target.running
)
SELECT (SELECT CASE WHEN running THEN 'cancelling' ELSE 'removed' END FROM target) AS result
