-- Inserts tasks and wakes the owners of what is due within 5 s. Serial ones are blocked until elect_heads says otherwise. Ids grow in the order of the arrays.
-- $1 names, $2 keys, $3 payloads (JSON texts), $4 scheduled times (ms, null: $5 ms from now, null: now), $6 what is not as
-- usual (JSON texts of {policy, priority, tags, serial}, each where it is not; null: everything is)
-- Returns one row a task, in the order given; none where cluster-init has not recorded the partition count.
-- Locks: its own rows; NOTIFY's global lock at commit. Races with nobody. Where any is serial also what elect_heads locks.
WITH input AS MATERIALIZED (
  SELECT nextval('task_id_seq') AS id, i.ordinal, i.name, i.key, i.payload, i.more::jsonb AS more,
         coalesce(from_epoch_ms(i.scheduled_ms), now_ms + coalesce(i.delay_ms, 0) * interval '1 millisecond') AS scheduled_at
  FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[])
         WITH ORDINALITY AS i (name, key, payload, scheduled_ms, delay_ms, more, ordinal)
  CROSS JOIN date_trunc('milliseconds', now()) AS now_ms
  ORDER BY i.ordinal
), inserted AS (
  INSERT INTO task (id, partition_id, name, key, payload, policy, priority, tags, serial, blocked, scheduled_at, due_at)
  SELECT id, partition_of(coalesce(key, id::text), partitions), name, key, payload::jsonb,
         more -> 'policy', coalesce((more -> 'priority')::smallint, 0),
         CASE WHEN more ? 'tags' THEN ARRAY(SELECT jsonb_array_elements_text(more -> 'tags')) END,
         coalesce((more -> 'serial')::boolean, false), CASE WHEN (more -> 'serial')::boolean THEN true END,
         scheduled_at, greatest(scheduled_at, date_trunc('milliseconds', now()))
  FROM input, cluster_meta
  ORDER BY ordinal
  RETURNING id, partition_id, key, serial, scheduled_at, created_at, due_at
), notified AS MATERIALIZED (
  SELECT elect_heads(array_agg(partition_id) FILTER (WHERE serial), array_agg(key) FILTER (WHERE serial)),
         notify_task_due(array_agg(partition_id) FILTER (WHERE soon), min(due_at) FILTER (WHERE soon))
  FROM inserted
  CROSS JOIN LATERAL (SELECT NOT serial AND due_at <= now() + interval '5 seconds' AS soon) AS s
)
SELECT id, partition_id, epoch_ms(scheduled_at) AS scheduled_ms, epoch_ms(created_at) AS created_ms
FROM inserted, notified
ORDER BY id
