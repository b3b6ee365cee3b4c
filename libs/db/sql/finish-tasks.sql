-- Records how attempts ended, each once, where the task still runs that attempt under that incarnation. A task
-- whose removal was requested is deleted, however it ended. Wakes the owners of what waits again and is due
-- within 5 s: they may be others by now.
-- $1 ids, $2 attempts, $3 incarnations, $4 kinds, $5 delays in ms, $6 errors
-- Returns one row an outcome, in order: recorded (now, by an earlier call, or the record is gone); refused; or
-- changing: someone changed the row while we waited for it, ask again.
-- Locks: the task rows, FOR UPDATE, in id order; no owner row, so a long task never holds up a move. Races with
-- a removal (waits, then deletes), a recovery (one of the two gets the row, the other finds it ended) and a
-- repetition of itself after a lost reply. (The status is compared with a column: given the literal, the planner
-- may read all of a partial index for each outcome.)
WITH outcome AS MATERIALIZED (
  SELECT *, 'RUNNING' AS status
  FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::text[], $5::double precision[], $6::text[])
       WITH ORDINALITY AS o (id, attempt, incarnation, kind, delay_ms, error, ordinal)
), mine AS MATERIALIZED (
  SELECT o.*, t.cancel_requested_at IS NOT NULL AS cancelled
  FROM outcome o JOIN task t ON t.id = o.id
  WHERE t.attempt = o.attempt AND t.incarnation = o.incarnation AND t.status = o.status
  ORDER BY t.id
  FOR UPDATE OF t
), removed AS (
  DELETE FROM task t USING mine m WHERE t.id = m.id AND m.cancelled
), ended AS (
  UPDATE task t
  SET status = CASE m.kind WHEN 'COMPLETED' THEN 'COMPLETED' WHEN 'FAILED' THEN 'FAILED' ELSE 'PENDING' END,
      failures = t.failures + CASE WHEN m.kind IN ('RETRY', 'FAILED') THEN 1 ELSE 0 END,
      due_at = CASE m.kind WHEN 'RETRY' THEN greatest(t.scheduled_at, now() + m.delay_ms * interval '1 millisecond')
                           ELSE t.due_at END,
      completed_at = CASE WHEN m.kind IN ('COMPLETED', 'FAILED') THEN now() END,
      last_error = coalesce(m.error, t.last_error)
  FROM mine m
  WHERE t.id = m.id AND NOT m.cancelled
  RETURNING t.partition_id, t.status, t.due_at
), notified AS MATERIALIZED (
  SELECT notify_task_due(array_agg(partition_id)) FROM ended
  WHERE status = 'PENDING' AND due_at <= now() + interval '5 seconds'
)
SELECT CASE
         WHEN m.id IS NOT NULL OR t.id IS NULL THEN 'recorded'
         WHEN t.attempt <> o.attempt OR t.incarnation IS DISTINCT FROM o.incarnation THEN 'refused'
         WHEN t.status = 'RUNNING' THEN 'changing'
         ELSE 'recorded'
       END AS result
FROM notified, outcome o
LEFT JOIN mine m ON m.ordinal = o.ordinal
LEFT JOIN task t ON t.id = o.id
ORDER BY o.ordinal
