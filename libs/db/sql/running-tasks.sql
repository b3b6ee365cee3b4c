-- What the database believes some incarnations to be running.
-- $1 incarnations
-- Locks: nothing.
SELECT t.id, t.name, t.partition_id AS partition, c.epoch, c.incarnation, r.attempt, t.failures,
       t.policy, t.priority, t.serial, epoch_ms(t.scheduled_at) AS "scheduledAtMs", epoch_ms(t.due_at) AS "dueAtMs",
       c.id AS record, (extract(epoch FROM c.claimed_at) * 1000)::double precision AS "claimedAtMs",
       c.claim_id AS "claimId", t.cancel_requested_at IS NOT NULL AS "cancelRequested"
FROM claim_record c
CROSS JOIN LATERAL unnest(c.task_ids, c.attempts) AS r (id, attempt)
JOIN task t ON t.id = r.id AND t.attempt = r.attempt - 1
WHERE c.incarnation = ANY ($1::text[])
ORDER BY t.id
