-- Inserts tasks: functions/insert_tasks.sql.
-- $1 names, $2 keys, $3 payloads (a line each), $4 scheduled times, $5 delays, $6 what is not as usual, $7 keys of what is inserted once, $8
-- fingerprints, $9 ms that such keys are remembered, $10 reserved ids and $11 their partitions
SELECT ids, places, created_ms, others
FROM insert_tasks(
  $1::text[], $2::text[], string_to_array($3, E'\n'), $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::double precision,
  $10::bigint[], $11::integer[]
)
