-- Removes a task, or marks one that runs: functions/remove_task.sql.
-- $1 id
SELECT remove_task($1::bigint) AS result
