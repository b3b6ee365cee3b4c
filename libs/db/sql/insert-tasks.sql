-- Inserts tasks: functions/insert_tasks.sql.
-- $1 names, $2 keys, $3 payloads, $4 scheduled times, $5 delays, $6 what is not as usual, $7 keys of what is inserted once, $8
-- fingerprints, $9 ms that such keys are remembered
SELECT id, partition_id, created_ms, became
FROM insert_tasks(
  $1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::double precision
)
