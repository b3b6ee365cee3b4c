-- What the database believes some incarnations to be running.
-- $1 incarnations, $2 partitions, $3 oldest records that may stand in each (null: any)
-- By partition, from there: the index of incarnations would lead to all dead records of theirs, one by one. OFFSET 0: or the
-- planner takes that.
-- ANY (ARRAY[x]): task by task, by the primary key, whatever an ANALYZE has seen (finish_tasks.sql). In the order of
-- r.id: asked for that of t.id, the planner again takes to its whole index.
-- Locks: nothing.
SELECT t.id, t.name, t.partition_id AS partition, c.epoch, c.incarnation, r.attempt, t.failures,
       t.policy, t.priority, t.serial, epoch_ms(t.scheduled_at) AS "scheduledAtMs", epoch_ms(t.due_at) AS "dueAtMs",
       c.id AS record, (extract(epoch FROM c.claimed_at) * 1000)::double precision AS "claimedAtMs",
       c.claim_id AS "claimId", t.cancel_requested_at IS NOT NULL AS "cancelRequested"
FROM unnest($2::integer[], $3::bigint[]) AS p (partition_id, records_from)
CROSS JOIN LATERAL (
  SELECT * FROM claim_record
  WHERE partition_id = p.partition_id AND id >= coalesce(p.records_from, 0)
  OFFSET 0
) AS c
CROSS JOIN LATERAL unnest(c.task_ids, c.attempts) AS r (id, attempt)
JOIN task t ON t.id = ANY (ARRAY[r.id]) AND t.attempt = r.attempt - 1
WHERE c.incarnation = ANY ($1::text[])
ORDER BY r.id
