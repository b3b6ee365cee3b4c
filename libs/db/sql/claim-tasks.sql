-- Claims due tasks of partitions that are still ours: attempt + 1, RUNNING. At most $6, the oldest due first; of
-- a backlog no more than four times its even share is looked at in each partition.
-- $1 partitions, $2 epochs, $3 incarnations (under which each is held), $4 claim id, $5 worker id, $6 limit
-- Returns one row: the database's time, the partitions whose fence held, and the tasks, small columns only and
-- within 64 KB, so that a worker frozen while it is sent cannot leave the backend hanging with its locks.
-- Locks: the owner rows, FOR SHARE and in id order, all of them before any task is looked at (MATERIALIZED, and
-- read fully by the sort): a higher epoch waits for this claim, or this claim finds the row superseded. Then
-- task rows, FOR NO KEY UPDATE SKIP LOCKED: never waits for a removal, a recovery or a claim of our own; a row
-- they changed after this statement's snapshot is judged again by its new state (there, against a column: given
-- the literal, the planner may read all of a partial index for each row).
WITH own AS MATERIALIZED (
  SELECT o.partition_id, o.epoch, o.incarnation
  FROM unnest($1::integer[], $2::bigint[], $3::text[]) AS h (partition_id, epoch, incarnation)
  JOIN partition_owner o
    ON o.partition_id = h.partition_id AND o.epoch = h.epoch AND o.incarnation = h.incarnation
  ORDER BY o.partition_id
  FOR SHARE OF o
), due AS MATERIALIZED (
  SELECT t.id, own.epoch, own.incarnation, 'PENDING' AS status
  FROM own CROSS JOIN LATERAL (
    SELECT id, due_at FROM task
    WHERE partition_id = own.partition_id AND status = 'PENDING' AND due_at <= now()
    ORDER BY due_at, id
    LIMIT (SELECT least($6::integer, ceil(4.0 * $6 / greatest(count(*), 1))) FROM own)
  ) AS t
  ORDER BY t.due_at, t.id LIMIT $6
), locked AS MATERIALIZED (
  SELECT t.id, t.due_at, t.name, due.epoch, due.incarnation
  FROM due JOIN task t ON t.id = due.id
  WHERE t.status = due.status AND t.due_at <= now()
  FOR NO KEY UPDATE OF t SKIP LOCKED
), picked AS (
  SELECT id, epoch, incarnation
  FROM (SELECT *, sum(octet_length(name) + 250) OVER (ORDER BY due_at, id) AS bytes FROM locked) AS l
  WHERE bytes <= 65536
), claimed AS (
  UPDATE task t
  SET status = 'RUNNING', attempt = t.attempt + 1, started_at = now(), completed_at = NULL,
      epoch = p.epoch, incarnation = p.incarnation, claim_id = $4::uuid, worker_id = $5::text
  FROM picked p
  WHERE t.id = p.id
  RETURNING t.id, t.name, t.partition_id, t.epoch, t.incarnation, t.attempt, t.failures, t.scheduled_at, t.due_at
)
SELECT (extract(epoch FROM now()) * 1000)::double precision AS now_ms,
       (SELECT coalesce(array_agg(partition_id), '{}') FROM own) AS held,
       (SELECT coalesce(json_agg(json_build_array(
                 id, name, partition_id, epoch, incarnation, attempt, failures, epoch_ms(scheduled_at)
               ) ORDER BY due_at, id), '[]')
        FROM claimed) AS tasks
