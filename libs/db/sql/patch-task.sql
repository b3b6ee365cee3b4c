-- Changes a waiting task: functions/patch_task.sql.
-- $1 id, $2 versions, $3 scheduled time (ms), $4 ms from now instead, $5 payload (JSON text), $6 attempts that may fail, $7
-- priority
SELECT patch_task(
  $1::bigint, $2::text[],
  coalesce(from_epoch_ms($3::bigint), date_trunc('milliseconds', now()) + $4::bigint * interval '1 millisecond'),
  $5::json, $6::integer, $7::smallint
) AS result
