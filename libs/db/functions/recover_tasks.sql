-- Ends attempts, in partitions that are ours, whose claimer's lease is over: charged as a failure; waiting again
-- or FAILED as the task's policy says (recovery_delay_ms), CANCELLED or gone where that was requested. Whose turn it is in the
-- lines of serial ones is found out anew. What is kept of the attempts of a task is so of its last 100, as in finish_tasks. The incarnation
-- is cleared, so that a late outcome is refused. At most `most` records at once; jitter, a random number in [0, 1), is
-- spread over the tasks (jitterOf() of libs/core/task.ts); default_policy stands for what a task's does not say;
-- `callers` are all incarnations of the caller, whose attempts are its own business; records_from says of each partition how old the
-- oldest record is that may stand there (null: any), to pass by the dead.
--
-- Does nothing unless the caller's own lease stands and has been renewed without a gap for its whole length: while
-- the database was away from everybody nobody could renew, and on its return everybody gets the time to. Judged
-- here and not before sending: this statement may itself have been on its way all through the outage.
-- A lease that ends later than its own length from now was written before the clock stepped back: it is cut to
-- that length (clock_timestamp, not now: a renewal may be newer than this transaction).
--
-- ANY (ARRAY[x]): as in finish_tasks. OFFSET 0: the records first; by way of the sessions, all dead ones of each would be read.
--
-- Locks: leases that are cut; where others than ours run anything, the owner rows, FOR NO KEY UPDATE (elect_heads), in id order; the session rows,
-- FOR SHARE, in order: a renewal comes before, and saves the attempt, or after, and is too late; then the records, and
-- then the tasks' rows. An outcome does the last two in this order as well: the one that comes second waits, and finds
-- the record gone or the row an attempt further.
CREATE OR REPLACE FUNCTION recover_tasks(
  partitions integer[], epochs bigint[], incarnations text[], most integer, jitter double precision, default_policy jsonb,
  callers text[], records_from bigint[] DEFAULT NULL
) RETURNS TABLE (id bigint, "partition" integer, attempt integer, "fromWorkerId" text, became text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  most_kept CONSTANT integer := 100;
  own integer[];
  own_from bigint[];
  expired text[];
  lost_ids bigint[];
  lost_attempts integer[];
  lost_workers text[];
  lost_epochs bigint[];
  lost_since timestamptz[];
  line_partitions integer[];
  line_keys text[];
BEGIN
  IF EXISTS (
    SELECT FROM unnest(partitions, records_from) AS h (partition_id, records_from)
    JOIN claim_record c ON c.partition_id = ANY (ARRAY[h.partition_id]) AND c.id >= coalesce(h.records_from, 0)
    WHERE c.incarnation <> ALL (callers)
  ) THEN
    SELECT array_agg(o.partition_id), array_agg(o.records_from) INTO own, own_from
    FROM (
      SELECT p.partition_id, coalesce(h.records_from, 0) AS records_from
      FROM unnest(partitions, epochs, incarnations, records_from) AS h (partition_id, epoch, incarnation, records_from)
      JOIN partition_owner p
        ON p.partition_id = h.partition_id AND p.epoch = h.epoch AND p.incarnation = h.incarnation
      JOIN worker_session s ON s.incarnation = h.incarnation
      WHERE renewed_in_time(s.expires_at, s.lease_ms, now())
        AND s.unbroken_since + s.lease_ms * interval '1 millisecond' <= now()
      ORDER BY p.partition_id
      FOR NO KEY UPDATE OF p
    ) AS o;
  END IF;

  IF own IS NOT NULL THEN
    SELECT coalesce(array_agg(s.incarnation), '{}') INTO expired
    FROM (
      SELECT incarnation FROM worker_session
      WHERE incarnation IN (
          SELECT c.incarnation FROM unnest(own, own_from) AS o (partition_id, records_from)
          JOIN claim_record c ON c.partition_id = ANY (ARRAY[o.partition_id]) AND c.id >= o.records_from
          OFFSET 0
        )
        AND incarnation <> ALL (callers) AND expires_at <= now()
      ORDER BY incarnation
      FOR SHARE
    ) AS s;

    WITH abandoned AS MATERIALIZED (
      SELECT c.partition_id, c.id FROM unnest(own, own_from) AS o (partition_id, records_from)
      JOIN claim_record c ON c.partition_id = ANY (ARRAY[o.partition_id]) AND c.id >= o.records_from
      WHERE c.incarnation <> ALL (callers)
        AND (c.incarnation = ANY (expired)
             OR NOT EXISTS (SELECT FROM worker_session s WHERE s.incarnation = c.incarnation))
      ORDER BY o.partition_id, c.id LIMIT most
      FOR UPDATE OF c
    ), removed AS (
      DELETE FROM claim_record c USING abandoned a WHERE c.partition_id = ANY (ARRAY[a.partition_id]) AND c.id = a.id
      RETURNING c.task_ids, c.attempts, c.worker_id, c.epoch, c.claimed_at
    )
    SELECT array_agg(l.id), array_agg(l.attempt), array_agg(r.worker_id), array_agg(r.epoch), array_agg(r.claimed_at)
    INTO lost_ids, lost_attempts, lost_workers, lost_epochs, lost_since
    FROM removed r CROSS JOIN LATERAL unnest(r.task_ids, r.attempts) AS l (id, attempt);
  END IF;

  IF lost_ids IS NOT NULL THEN
    RETURN QUERY
      WITH lost AS MATERIALIZED (
        SELECT *
        FROM unnest(lost_ids, lost_attempts, lost_workers, lost_epochs, lost_since)
          AS l (id, attempt, worker_id, epoch, claimed_at)
        ORDER BY id
      ), charged AS MATERIALIZED (
        -- Nobody changes the failures or the policy of a task whose attempt has not ended.
        SELECT l.*, recovery_delay_ms(default_policy || coalesce(t.policy, '{}'), t.failures, s.sum - floor(s.sum)) AS delay_ms
        FROM lost l
        JOIN task t ON t.id = ANY (ARRAY[l.id]) AND t.attempt = l.attempt - 1
        CROSS JOIN LATERAL (SELECT jitter + l.id * 0.6180339887498949::double precision AS sum) AS s
        ORDER BY l.id
      ), ended AS (
        UPDATE task t
        SET status = CASE WHEN t.cancel_requested_at IS NOT NULL THEN 'CANCELLED'
                          WHEN l.delay_ms IS NULL THEN 'FAILED' ELSE 'PENDING' END,
            attempt = l.attempt,
            due_at = CASE WHEN l.delay_ms IS NULL THEN t.due_at
                          ELSE greatest(t.scheduled_at, date_trunc('milliseconds',
                                 now() + l.delay_ms * interval '1 millisecond')) END,
            started_at = l.claimed_at, worker_id = l.worker_id, epoch = l.epoch,
            completed_at = CASE WHEN l.delay_ms IS NULL OR t.cancel_requested_at IS NOT NULL THEN now() END,
            failures = t.failures + 1,
            last_error = format('attempt %s: worker %s was lost, its lease ended', l.attempt, l.worker_id),
            incarnation = NULL
        FROM charged l
        WHERE t.id = ANY (ARRAY[l.id]) AND t.attempt = l.attempt - 1
        RETURNING t.id, t.partition_id, t.attempt, t.worker_id, t.status, t.removal_requested,
                  t.epoch, t.started_at, t.last_error
      ), kept AS (
        INSERT INTO task_attempt (task_id, attempt, worker_id, epoch, started_at, outcome, error)
        SELECT id, attempt, worker_id, epoch, started_at, 'LOST', jsonb_build_object('name', 'WorkerLost', 'message', last_error)
        FROM ended WHERE NOT removal_requested
        ON CONFLICT DO NOTHING
      )
      SELECT e.id, e.partition_id, e.attempt, e.worker_id,
             CASE WHEN e.removal_requested THEN 'REMOVED' ELSE e.status END
      FROM ended e;
    DELETE FROM task_attempt a USING unnest(lost_ids, lost_attempts) AS l (id, attempt)
    WHERE a.task_id = ANY (ARRAY[l.id]) AND a.attempt <= l.attempt - most_kept;
    SELECT array_agg(t.partition_id), array_agg(t.key) INTO line_partitions, line_keys
    FROM task t WHERE t.id = ANY (lost_ids) AND t.serial;
    WITH removed AS (
      DELETE FROM task t USING unnest(lost_ids, lost_attempts) AS l (id, attempt)
      WHERE t.id = ANY (ARRAY[l.id]) AND t.attempt = l.attempt AND t.removal_requested
      RETURNING t.id
    )
    DELETE FROM task_attempt a USING removed r WHERE a.task_id = ANY (ARRAY[r.id]);
    PERFORM elect_heads(line_partitions, line_keys);
  END IF;

  UPDATE worker_session SET expires_at = now() + lease_ms * interval '1 millisecond'
  WHERE incarnation IN (
    SELECT incarnation FROM worker_session
    WHERE expires_at > clock_timestamp() + lease_ms * interval '1 millisecond'
    FOR UPDATE SKIP LOCKED
  );
END $$;
