-- Records how attempts ended: functions/finish_tasks.sql.
-- $1 and $2 records whose tasks have all ended by then (partitions, ids); $3 ids, $4 attempts, $5 epochs, $6 when they
-- were claimed (ms); $7 incarnation, $8 worker id; $9 kinds, $10 delays in ms, $11 errors, $12 results (JSON texts);
-- $13 partitions of those that are serial
SELECT finish_tasks(
  $1::integer[], $2::bigint[], $3::bigint[], $4::integer[], $5::bigint[], $6::double precision[], $7::text, $8::text,
  $9::text[], $10::double precision[], $11::text[], $12::text[], $13::integer[]
) AS counted
