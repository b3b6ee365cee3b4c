-- Makes a waiting task due now: functions/run_task.sql.
-- $1 id
SELECT run_task($1::bigint) AS result
