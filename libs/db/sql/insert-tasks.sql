-- Inserts tasks: functions/insert_tasks.sql.
-- $1 names, $2 keys, $3 payloads (a line each), $4 scheduled times, $5 delays, $6 what is not as usual, $7 ms that keys of what is
-- inserted once are remembered, $8 these keys, $9 fingerprints, $10 reserved ids and $11 their partitions
-- Returns ids and partitions where they are not those that were given.
SELECT CASE WHEN $10::bigint[] IS NULL OR others <> '[]' THEN ids END AS ids,
       CASE WHEN $10::bigint[] IS NULL OR others <> '[]' THEN places END AS places, created_ms, others
FROM insert_tasks(
  $1::text[], $2::text[], string_to_array($3, E'\n'), $4::bigint[], $5::bigint[], $6::text[], $7::double precision, $8::text[], $9::text[],
  $10::bigint[], $11::integer[]
)
