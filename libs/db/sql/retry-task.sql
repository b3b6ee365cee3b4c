-- Has an ended task wait again: functions/retry_task.sql.
-- $1 id
SELECT retry_task($1::bigint) AS result
