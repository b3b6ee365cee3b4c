-- Records how attempts ended: functions/finish_tasks.sql.
-- $1 and $2 records whose tasks have all ended by then (partitions, ids); $3 ids, $4 attempts, $5 incarnations, $6 worker
-- id, $7 when they were claimed (ms), $8 kinds, $9 delays in ms, $10 errors
SELECT finish_tasks(
  $1::integer[], $2::bigint[], $3::bigint[], $4::integer[], $5::text[], $6::text, $7::double precision[],
  $8::text[], $9::double precision[], $10::text[]
) AS counted
