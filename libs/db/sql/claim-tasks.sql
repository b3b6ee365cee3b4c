-- Claims due tasks: functions/claim_tasks.sql.
-- $1 partitions, $2 epochs, $3 incarnations (under which each is held), $4 and $5 positions (due times in ms, ids),
-- $6 oldest records, $7 claim id, $8 worker id, $9 limit, $10 names, $11 whether only those or all but those
SELECT now_ms, held, oldest, record_id, tasks
FROM claim_tasks(
  $1::integer[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::uuid, $8::text, $9::integer,
  $10::text[], $11::boolean
)
