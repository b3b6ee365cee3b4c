-- Stores how far attempts have got, where a record still names them as the caller's: in the tasks' rows, of which nothing
-- else changes. The newest wins, whichever that is; of an attempt that ends meanwhile nothing is stored.
-- $1 ids, $2 attempts, $3 incarnations, $4 partitions, $5 records, $6 how much is done, $7 notes
-- Returns the ids of which it was stored.
-- Locks: the tasks' rows, FOR NO KEY UPDATE, in id order, but without waiting: a row that an outcome, a recovery or a user
-- has locked is left out, so this is never part of a deadlock and only ever waited for as long as it takes. The records are
-- read without a lock, as what takes an attempt's record raises its row's attempt in the same transaction, and a row that has
-- changed since the snapshot is judged as it stands.
WITH own AS MATERIALIZED (
  SELECT t.id, jsonb_build_object('attempt', r.attempt, 'done', r.done, 'note', r.note) AS progress
  FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::integer[], $5::bigint[], $6::double precision[], $7::text[])
    AS r (id, attempt, incarnation, partition_id, record_id, done, note)
  -- OFFSET 0, and ANY (ARRAY[x]): one by one, by the primary key, whatever an ANALYZE has seen (finish_tasks.sql).
  CROSS JOIN LATERAL (
    SELECT incarnation, task_ids, attempts FROM claim_record
    WHERE partition_id = r.partition_id AND id = r.record_id
    OFFSET 0
  ) AS c
  JOIN task t ON t.id = ANY (ARRAY[r.id]) AND t.attempt = r.attempt - 1
  WHERE c.incarnation = r.incarnation AND c.attempts[array_position(c.task_ids, r.id)] = r.attempt
  ORDER BY r.id
  FOR NO KEY UPDATE OF t SKIP LOCKED
)
UPDATE task t SET progress = own.progress FROM own WHERE t.id = ANY (ARRAY[own.id])
RETURNING t.id
