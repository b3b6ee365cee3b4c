-- The earliest due time of each partition that has something due within the horizon, after a position (or at any priority), that nobody runs.
-- $1 partitions, $2 and $3 positions (due times in ms, ids; null: from the beginning), $4 oldest records that may stand
-- (null: any), $5 horizon in ms, $6 all incarnations of the caller, $7 names, $8 whether only those or all but those
-- Returns one row: the database's time; [partition, ms] pairs; and whether others run anything in these partitions.
-- Locks: nothing.
WITH own AS MATERIALIZED (
  SELECT p.partition_id, coalesce(from_epoch_ms(p.after_due_ms), '-infinity') AS after_due,
         coalesce(p.after_id, 0) AS after_id, coalesce(p.records_from, 0) AS records_from
  FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bigint[])
    AS p (partition_id, after_due_ms, after_id, records_from)
), open AS MATERIALIZED (
  -- OFFSET 0: partition by partition, by the index, however many dead records the table is full of.
  SELECT c.* FROM own CROSS JOIN LATERAL (
    SELECT incarnation, task_ids, attempts FROM claim_record
    WHERE partition_id = own.partition_id AND id >= own.records_from
    OFFSET 0
  ) AS c
), levels AS MATERIALIZED (
  -- The priorities at which something may be due; mostly nothing has any.
  -- OFFSET 0: one after the other. As a join of both it may read the index of what is due from end to end, dead entries included.
  SELECT n AS level
  FROM generate_series(1, CASE WHEN EXISTS (
    SELECT FROM task WHERE status = 'PENDING' AND priority > 0 AND blocked IS NOT TRUE AND partition_id = ANY ($1::integer[])
  ) THEN 9 ELSE 0 END) AS n
  WHERE EXISTS (
    SELECT FROM task
    WHERE status = 'PENDING' AND priority = n AND blocked IS NOT TRUE AND partition_id = ANY ($1::integer[])
      AND due_at <= now() + $5::double precision * interval '1 millisecond'
    OFFSET 0
  )
), running AS MATERIALIZED (
  SELECT r.id, r.attempt FROM open CROSS JOIN LATERAL unnest(task_ids, attempts) AS r (id, attempt)
)
SELECT (extract(epoch FROM now()) * 1000)::double precision AS now_ms,
       (SELECT coalesce(json_agg(json_build_array(own.partition_id, epoch_ms(t.due_at))), '[]')
        FROM own
        CROSS JOIN LATERAL (
          SELECT least(
            (SELECT due_at FROM task
             WHERE partition_id = own.partition_id AND status = 'PENDING' AND priority = 0 AND blocked IS NOT TRUE
               AND due_at <= now() + $5::double precision * interval '1 millisecond'
               AND (due_at, id) > (own.after_due, own.after_id)
               AND cancel_requested_at IS NULL AND (name = ANY ($7::text[])) = $8::boolean
               AND (id, attempt + 1) NOT IN (SELECT r.id, r.attempt FROM running r)
             ORDER BY due_at, id LIMIT 1),
            (SELECT min(u.due_at)
             FROM levels CROSS JOIN LATERAL (
               SELECT due_at FROM task
               WHERE partition_id = own.partition_id AND status = 'PENDING' AND priority = level AND blocked IS NOT TRUE
                 AND due_at <= now() + $5::double precision * interval '1 millisecond'
                 AND cancel_requested_at IS NULL AND (name = ANY ($7::text[])) = $8::boolean
                 AND (id, attempt + 1) NOT IN (SELECT r.id, r.attempt FROM running r)
               ORDER BY due_at, id LIMIT 1
             ) AS u)
          ) AS due_at
          OFFSET 0 -- Once, and not for the condition as well.
        ) AS t
        WHERE t.due_at IS NOT NULL) AS due,
       EXISTS (SELECT FROM open WHERE incarnation <> ALL ($6::text[])) AS others
