-- The earliest due time of each partition that has something due within the horizon.
-- $1 partitions, $2 horizon in ms
-- Returns one row: the database's time, and [partition, ms] pairs.
-- Locks: nothing.
SELECT (extract(epoch FROM now()) * 1000)::double precision AS now_ms,
       (SELECT coalesce(json_agg(json_build_array(p, epoch_ms(t.due_at))), '[]')
        FROM unnest($1::integer[]) AS p
        CROSS JOIN LATERAL (
          SELECT due_at FROM task
          WHERE partition_id = p AND status = 'PENDING'
            AND due_at <= now() + $2::double precision * interval '1 millisecond'
          ORDER BY due_at, id LIMIT 1
        ) AS t) AS due
