-- Records how attempts ended: functions/finish_tasks.sql.
-- $1 and $2 records whose tasks have all ended by then (partitions, ids); $3 ids, $4 attempts, $5 when they were claimed
-- (ms); $6 incarnation, $7 worker id; $8 kinds, $9 delays in ms, $10 errors, $11 results (JSON texts)
SELECT finish_tasks(
  $1::integer[], $2::bigint[], $3::bigint[], $4::integer[], $5::double precision[], $6::text, $7::text,
  $8::text[], $9::double precision[], $10::text[], $11::text[]
) AS counted
