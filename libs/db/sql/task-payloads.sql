-- Payloads that did not come with the claim: long ones, those of a claim that would be too long with them, or after a reply that took its time. Only of attempts that are
-- still the caller's: the reply of a claim may have been read long after it was made, by a worker that was frozen in
-- between and overtaken.
-- $1 ids, $2 attempts, $3 incarnations, $4 partitions, $5 records
-- Locks: nothing.
SELECT t.id, t.payload
FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::integer[], $5::bigint[])
  AS a (id, attempt, incarnation, partition_id, record_id)
-- OFFSET 0, and ANY (ARRAY[x]): one by one, by the primary key, whatever an ANALYZE has seen (finish_tasks.sql).
CROSS JOIN LATERAL (
  SELECT incarnation FROM claim_record WHERE partition_id = a.partition_id AND id = a.record_id OFFSET 0
) AS c
JOIN task t ON t.id = ANY (ARRAY[a.id]) AND t.attempt = a.attempt - 1
WHERE c.incarnation = a.incarnation
