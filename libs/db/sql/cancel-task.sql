-- Ends a task as CANCELLED: functions/cancel_task.sql.
-- $1 id
SELECT cancel_task($1::bigint) AS result
