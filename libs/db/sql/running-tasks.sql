-- What the database believes some incarnations to be running.
-- $1 incarnations
-- Locks: nothing.
SELECT id, name, partition_id AS partition, epoch, incarnation, attempt, failures,
       epoch_ms(scheduled_at) AS "scheduledAtMs", claim_id AS "claimId",
       cancel_requested_at IS NOT NULL AS "cancelRequested"
FROM task
WHERE status = 'RUNNING' AND incarnation = ANY ($1::text[])
ORDER BY id
