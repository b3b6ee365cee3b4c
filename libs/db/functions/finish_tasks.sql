-- Records how attempts ended, each once, where the task's row still stands one attempt below; then the task waits again
-- or has ended: as CANCELLED where that was requested and it has not completed; and is gone where its removal was
-- requested, however it ended. Whose turn it is in the line of a serial task is found out anew. Removes the records whose tasks have all ended by then. Wakes the owners of what waits again and is due within 5 s: they may be others by now.
--
-- settled_partitions, settled_records name those records; serial_partitions is where the serial tasks among these are. claimer is the incarnation, and worker its worker, whose
-- attempts these were. Of the other arrays, one element an outcome: ended_ids, ended_attempts, epochs, started_ms, kinds,
-- delays_ms, errors ({name, message, stack}) and results, both as JSON texts; the last four may end before: what has no kind
-- has completed, and where there are no kinds, all have, without results. How others have ended is kept, of a task's last 100 attempts.
-- Returns the outcomes that count, from 1, where not all do: recorded now, by an earlier call of the same, or the task
-- is gone. Null: all do.
--
-- ANY (ARRAY[x]): nothing but a look into the index for each x does for that. By =, the planner also takes to reading the whole
-- index once, dead entries included, where an ANALYZE has seen none or few rows.
--
-- Locks: the records, then the tasks' rows, as a recovery does: nobody waits for one who waits for him. Where both want
-- the same attempt, one of them finds its record or its row changed. Before them, of serial tasks only, the owner rows, as in
-- elect_heads: the others' outcomes are not held up by claims, nor hold up any.
CREATE OR REPLACE FUNCTION finish_tasks(
  settled_partitions integer[], settled_records bigint[],
  ended_ids bigint[], ended_attempts integer[], epochs bigint[], started_ms double precision[], claimer text,
  worker text,
  kinds text[], delays_ms double precision[], errors text[], results text[], serial_partitions integer[]
) RETURNS integer[] LANGUAGE plpgsql AS $$
DECLARE
  most_kept CONSTANT integer := 100;
  ended_count integer;
  removed bigint[];
  waiting integer[];
  next_due timestamptz;
  line_partitions integer[];
  line_keys text[];
BEGIN
  IF cardinality(serial_partitions) > 0 THEN
    PERFORM FROM partition_owner o WHERE o.partition_id = ANY (serial_partitions)
    ORDER BY o.partition_id FOR NO KEY UPDATE;
  END IF;
  DELETE FROM claim_record c USING unnest(settled_partitions, settled_records) AS s (partition_id, id)
  WHERE c.partition_id = ANY (ARRAY[s.partition_id]) AND c.id = s.id;

  IF cardinality(kinds) = 0 THEN
    -- As most do: all have completed, and returned nothing. With what others may need this takes a ninth more.
    WITH ended AS (
      UPDATE task t
      SET status = 'COMPLETED', attempt = o.attempt, started_at = to_timestamp(o.started_ms / 1000), completed_at = now(),
          incarnation = claimer, worker_id = worker, epoch = o.epoch
      FROM (
        SELECT unnest(ended_ids) AS id, unnest(ended_attempts) AS attempt, unnest(epochs) AS epoch, unnest(started_ms) AS started_ms
        ORDER BY 1
      ) AS o
      WHERE t.id = ANY (ARRAY[o.id]) AND t.attempt = o.attempt - 1
      RETURNING t.id, t.removal_requested
    )
    SELECT count(*), array_agg(id) FILTER (WHERE removal_requested) INTO ended_count, removed FROM ended;
  ELSE
    WITH outcome AS MATERIALIZED (
      SELECT o.id, o.attempt, o.epoch, o.started_ms, coalesce(o.kind, 'COMPLETED') AS kind, o.delay_ms,
             o.error::jsonb ->> 'message' AS error, o.result
      FROM unnest(ended_ids, ended_attempts, epochs, started_ms, kinds, delays_ms, errors, results)
        AS o (id, attempt, epoch, started_ms, kind, delay_ms, error, result)
      ORDER BY o.id
    ), ended AS (
      UPDATE task t
      SET status = CASE WHEN o.kind = 'COMPLETED' THEN 'COMPLETED' WHEN t.cancel_requested_at IS NOT NULL THEN 'CANCELLED'
                        WHEN o.kind = 'FAILED' THEN 'FAILED' ELSE 'PENDING' END,
          attempt = o.attempt,
          failures = t.failures + CASE WHEN o.kind IN ('RETRY', 'FAILED') THEN 1 ELSE 0 END,
          due_at = CASE WHEN o.delay_ms IS NULL THEN t.due_at
                        ELSE greatest(t.scheduled_at,
                                      date_trunc('milliseconds', now() + o.delay_ms * interval '1 millisecond')) END,
          started_at = to_timestamp(o.started_ms / 1000),
          completed_at = CASE WHEN o.kind IN ('COMPLETED', 'FAILED') OR t.cancel_requested_at IS NOT NULL THEN now() END,
          incarnation = claimer, worker_id = worker, epoch = o.epoch,
          last_error = coalesce(o.error, t.last_error), result = o.result::jsonb
      FROM outcome o
      WHERE t.id = ANY (ARRAY[o.id]) AND t.attempt = o.attempt - 1
      RETURNING t.id, t.partition_id, t.status, t.due_at, t.removal_requested
    ), again AS (
      SELECT partition_id, due_at FROM ended
      WHERE status = 'PENDING' AND due_at <= now() + interval '5 seconds'
    )
    SELECT count(*), array_agg(id) FILTER (WHERE removal_requested),
           (SELECT array_agg(partition_id) FROM again), (SELECT min(due_at) FROM again)
    INTO ended_count, removed, waiting, next_due
    FROM ended;

    INSERT INTO task_attempt (task_id, attempt, worker_id, epoch, started_at, outcome, error)
    SELECT o.id, o.attempt, worker, o.epoch, to_timestamp(o.started_ms / 1000),
           CASE o.kind WHEN 'HANDED_BACK' THEN o.kind ELSE 'FAILED' END, o.error::jsonb
    FROM unnest(ended_ids, ended_attempts, epochs, started_ms, kinds, errors) AS o (id, attempt, epoch, started_ms, kind, error)
    JOIN task t ON t.id = ANY (ARRAY[o.id]) AND t.attempt = o.attempt AND t.incarnation = claimer
    WHERE o.kind <> 'COMPLETED'
    ON CONFLICT DO NOTHING;
    DELETE FROM task_attempt a USING unnest(ended_ids, ended_attempts) AS o (id, attempt)
    WHERE a.task_id = ANY (ARRAY[o.id]) AND a.attempt <= o.attempt - most_kept;
  END IF;
  IF cardinality(serial_partitions) > 0 THEN
    SELECT array_agg(t.partition_id), array_agg(t.key) INTO line_partitions, line_keys
    FROM task t WHERE t.id = ANY (ended_ids) AND t.serial;
  END IF;
  IF removed IS NOT NULL THEN
    DELETE FROM task WHERE id = ANY (removed);
    DELETE FROM task_attempt WHERE task_id = ANY (removed);
  END IF;
  IF waiting IS NOT NULL THEN
    PERFORM notify_task_due(waiting, next_due);
  END IF;
  IF line_partitions IS NOT NULL THEN
    PERFORM elect_heads(line_partitions, line_keys);
  END IF;
  IF ended_count = cardinality(ended_ids) THEN
    RETURN NULL;
  END IF;
  RETURN (
    SELECT coalesce(array_agg(o.ordinal), '{}')
    FROM unnest(ended_ids, ended_attempts) WITH ORDINALITY AS o (id, attempt, ordinal)
    LEFT JOIN task t ON t.id = ANY (ARRAY[o.id])
    WHERE t.id IS NULL OR (t.attempt = o.attempt AND t.incarnation = claimer)
  );
END $$;
