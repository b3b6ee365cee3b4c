-- Inserts tasks: functions/insert_tasks.sql.
-- $1 names, $2 keys, $3 payloads (a line each), $4 scheduled times, $5 delays, $6 what is not as usual, $7 ms that keys of what is
-- inserted once are remembered, $8 these keys, $9 fingerprints, $10 reserved ids and $11 their partitions,
-- $12 how many ids to reserve for what is inserted next
-- Returns ids and partitions where they are not those that were given, and what is reserved (insert-usual.sql).
SELECT CASE WHEN $10::bigint[] IS NULL OR others <> '[]' THEN t.ids END AS ids,
       CASE WHEN $10::bigint[] IS NULL OR others <> '[]' THEN places END AS places, created_ms, others,
       next.reserved[1] AS next_first, CASE WHEN next.reserved[$12::integer] - next.reserved[1] >= $12 THEN next.reserved END AS next_ids,
       CASE WHEN $12 > 0 THEN (SELECT partitions FROM cluster_meta) END AS partitions
FROM insert_tasks(
  $1::text[], $2::text[], string_to_array($3, E'\n'), $4::bigint[], $5::bigint[], $6::text[], $7::double precision, $8::text[], $9::text[],
  $10::bigint[], $11::integer[]
) AS t CROSS JOIN LATERAL (
  SELECT array_agg(nextval('task_id_seq')) AS reserved FROM generate_series(1, $12) WHERE t.created_ms IS NOT NULL
) AS next
