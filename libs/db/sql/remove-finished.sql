-- Removes tasks that ended long ago: functions/remove_finished.sql.
-- $1 how long they are kept (ms), $2 how long a pass goes on at least (ms), $3 how many ids at most, $4 how many tasks at most
SELECT passed, removed, to_go_ms, done
FROM remove_finished($1::double precision, $2::double precision, $3::bigint, $4::integer)
