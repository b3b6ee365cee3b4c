-- Puts lines of serial tasks in order, each named by its partition and key: the first by (scheduled_at, id) of those that wait may be
-- claimed, all others are blocked, and so is every other one while one of them runs. Whoever inserts, ends, removes or changes a
-- serial task calls it afterwards, in the same transaction. Who waits for his next attempt keeps his place, so the others wait
-- for him. Whose turn has come is due now at the earliest, as claims may have got beyond the time he was due at. Wakes the
-- owners of those that are due within 5 s. Where nothing is out of order it writes nothing.
--
-- STRICT: null, for no lines, is no call.
--
-- Locks: the owner rows, FOR NO KEY UPDATE and in id order, before anything is looked at, and in a statement of its own: a
-- claim under way is waited for, and the next statement sees whom it runs; one that comes later waits, and finds the line in
-- order. Then the rows of whose turn has come or gone. Who holds rows of tasks or records takes the owner rows before
-- these, since removals and recoveries do.
CREATE OR REPLACE FUNCTION elect_heads(partitions integer[], keys text[]) RETURNS void LANGUAGE plpgsql STRICT AS $$
DECLARE
  yielding bigint[];
  elected bigint[];
  soon integer[];
  next_due timestamptz;
BEGIN
  PERFORM FROM partition_owner o WHERE o.partition_id = ANY (partitions) ORDER BY o.partition_id FOR NO KEY UPDATE;

  -- LIMIT 1: line by line, by the index, however many lines there are.
  SELECT array_agg(head.id), array_agg(next.id) INTO yielding, elected
  FROM (SELECT DISTINCT l.partition_id, l.key FROM unnest(partitions, keys) AS l (partition_id, key)) AS line
  CROSS JOIN LATERAL (
    SELECT t.id, t.scheduled_at FROM task t
    WHERE t.partition_id = line.partition_id AND t.key = line.key AND t.status = 'PENDING' AND t.blocked
    ORDER BY t.scheduled_at, t.id LIMIT 1
  ) AS next
  LEFT JOIN LATERAL (
    SELECT t.id, t.scheduled_at, t.attempt FROM task t
    WHERE t.partition_id = line.partition_id AND t.key = line.key AND t.status = 'PENDING' AND NOT t.blocked
    LIMIT 1
  ) AS head ON true
  WHERE head.id IS NULL
     OR ((next.scheduled_at, next.id) < (head.scheduled_at, head.id)
         AND NOT EXISTS (
           SELECT FROM claim_record c
           WHERE c.partition_id = line.partition_id
             AND c.attempts[array_position(c.task_ids, head.id)] = head.attempt + 1
         ));
  IF elected IS NULL THEN
    RETURN;
  END IF;

  UPDATE task t SET blocked = true WHERE t.id = ANY (yielding);
  WITH freed AS (
    UPDATE task t SET blocked = false, due_at = greatest(t.due_at, date_trunc('milliseconds', now()))
    WHERE t.id = ANY (elected)
    RETURNING t.partition_id, t.due_at
  )
  SELECT array_agg(f.partition_id), min(f.due_at) INTO soon, next_due
  FROM freed f WHERE f.due_at <= now() + interval '5 seconds';
  IF soon IS NOT NULL THEN
    PERFORM notify_task_due(soon, next_due);
  END IF;
END $$;
