-- Inserts tasks as most are, of which nothing is said but name, key and payload: due now, and as functions/insert_tasks.sql would
-- insert them. One statement and not a function, as each statement within a function takes its time where nothing has run for a while.
-- $1 names, $2 keys (null: sharded by the id; may be empty where all are), $3 payloads (a line each), $4 reserved ids and $5 their
-- partitions (null: found here)
-- Returns one row: ids and partitions, where they are not those that were given, and when all were stored; none where
-- cluster-init has not recorded the partition count.
-- Locks: nothing but its own rows; NOTIFY's global lock at commit.
WITH placed AS MATERIALIZED (
  SELECT coalesce($4::bigint[], i.ids) AS ids, coalesce($5::integer[], i.places) AS places, date_trunc('milliseconds', now()) AS at
  FROM (
    SELECT array_agg(n.id) AS ids, array_agg(partition_of(coalesce(n.key, n.id::text), m.partitions)) AS places
    FROM (
      SELECT nextval('task_id_seq') AS id, u.key FROM unnest($1::text[], $2::text[]) AS u (name, key) WHERE $4::bigint[] IS NULL
    ) AS n
    CROSS JOIN cluster_meta m
  ) AS i
  WHERE coalesce($4::bigint[], i.ids) IS NOT NULL
), inserted AS (
  -- The target list reads the arrays, as FROM would write each into a table of its own first.
  INSERT INTO task (id, partition_id, name, key, payload, scheduled_at, due_at, created_at)
  SELECT unnest(ids), unnest(places), unnest($1::text[]), unnest($2::text[]), unnest(string_to_array($3, E'\n'))::json, at, at, at
  FROM placed
)
SELECT CASE WHEN $4::bigint[] IS NULL THEN ids END AS ids, CASE WHEN $4::bigint[] IS NULL THEN places END AS places,
       epoch_ms(at) AS created_ms, notify_task_due(places, at)
FROM placed
