-- Ends attempts, in partitions that are ours, whose claimer's lease is over: charged as a failure; waiting again
-- after $5[failures + 1] ms, FAILED where that has run out, deleted where removal was requested. The incarnation
-- is cleared, so that a late outcome is refused. At most $4 tasks.
-- $1 partitions, $2 epochs, $3 incarnations (under which each is held), $4 limit, $5 delays, $6 all incarnations of
-- the caller, whose attempts are its own business
-- Does nothing unless the caller's own lease stands and has been renewed without a gap for its whole length: while
-- the database was away from everybody nobody could renew, and on its return everybody gets the time to. Judged
-- here and not before sending: this statement may itself have been on its way all through the outage.
-- A lease that ends later than its own length from now was written before the clock stepped back: it is cut to
-- that length (clock_timestamp, not now: a renewal may be newer than this transaction).
-- Locks: nothing where none but ours run anything; else the owner rows, FOR SHARE, in id order; the session rows,
-- FOR SHARE, in order: a renewal comes before, and saves the attempt, or after, and is too late; then task rows,
-- FOR UPDATE SKIP LOCKED: an outcome being recorded wins.
WITH own AS MATERIALIZED (
  SELECT o.partition_id
  FROM unnest($1::integer[], $2::bigint[], $3::text[]) AS h (partition_id, epoch, incarnation)
  JOIN partition_owner o
    ON o.partition_id = h.partition_id AND o.epoch = h.epoch AND o.incarnation = h.incarnation
  JOIN worker_session s ON s.incarnation = h.incarnation
  WHERE renewed_in_time(s.expires_at, s.lease_ms, now())
    AND s.unbroken_since + s.lease_ms * interval '1 millisecond' <= now()
    AND EXISTS (
      SELECT FROM task
      WHERE status = 'RUNNING' AND partition_id = ANY ($1) AND incarnation <> ALL ($6::text[])
    )
  ORDER BY o.partition_id
  FOR SHARE OF o
), clamped AS (
  UPDATE worker_session SET expires_at = now() + lease_ms * interval '1 millisecond'
  WHERE incarnation IN (
    SELECT incarnation FROM worker_session
    WHERE expires_at > clock_timestamp() + lease_ms * interval '1 millisecond'
    FOR UPDATE SKIP LOCKED
  )
), running AS MATERIALIZED (
  SELECT id, incarnation, status FROM task
  WHERE status = 'RUNNING' AND partition_id = ANY (ARRAY(SELECT partition_id FROM own))
    AND incarnation <> ALL ($6::text[])
), expired AS MATERIALIZED (
  SELECT incarnation FROM worker_session
  WHERE incarnation IN (SELECT incarnation FROM running) AND expires_at <= now()
  ORDER BY incarnation
  FOR SHARE
), abandoned AS MATERIALIZED (
  SELECT t.id, t.incarnation, t.cancel_requested_at IS NOT NULL AS cancelled, ($5::double precision[])[t.failures + 1] AS delay_ms
  FROM running r JOIN task t ON t.id = r.id
  WHERE t.status = r.status AND t.incarnation = r.incarnation
    AND (r.incarnation IN (SELECT incarnation FROM expired)
         OR NOT EXISTS (SELECT FROM worker_session s WHERE s.incarnation = r.incarnation))
  ORDER BY t.id LIMIT $4::integer
  FOR UPDATE OF t SKIP LOCKED
), removed AS (
  DELETE FROM task t USING abandoned a WHERE t.id = a.id AND a.cancelled
  RETURNING t.id, t.partition_id, t.attempt, t.worker_id, 'REMOVED' AS became
), ended AS (
  UPDATE task t
  SET status = CASE WHEN a.delay_ms IS NULL THEN 'FAILED' ELSE 'PENDING' END,
      due_at = CASE WHEN a.delay_ms IS NULL THEN t.due_at
                    ELSE greatest(t.scheduled_at, now() + a.delay_ms * interval '1 millisecond') END,
      completed_at = CASE WHEN a.delay_ms IS NULL THEN now() END,
      failures = t.failures + 1,
      last_error = format('attempt %s: worker %s was lost, its lease ended', t.attempt, t.worker_id),
      incarnation = NULL, claim_id = NULL
  FROM abandoned a
  WHERE t.id = a.id AND NOT a.cancelled
  RETURNING t.id, t.partition_id, t.attempt, t.worker_id, t.status AS became
)
SELECT id, partition_id AS partition, attempt, worker_id AS "fromWorkerId", became FROM removed
UNION ALL
SELECT id, partition_id, attempt, worker_id, became FROM ended
