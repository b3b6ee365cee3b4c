-- Ends the backends that hold up the acquisition of partitions: those of the process whose incarnation owns
-- them, that have been in one transaction for longer than the lock timeout and hold row locks on the owner
-- table. Typically its process was frozen while the reply of a claim was on its way. What they did rolls back.
-- $1 partitions, $2 incarnation that acquires, $3 lock timeout in ms
-- Locks: nothing.
SELECT count(pg_terminate_backend(a.pid))::integer AS ended
FROM pg_stat_activity a
WHERE a.datname = current_database()
  AND a.pid <> pg_backend_pid()
  AND a.xact_start < clock_timestamp() - $3::integer * interval '1 millisecond'
  AND a.application_name IN (
    SELECT s.backend_name
    FROM partition_owner o JOIN worker_session s ON s.incarnation = o.incarnation
    WHERE o.partition_id = ANY ($1::integer[]) AND o.incarnation <> $2::text
  )
  AND EXISTS (
    SELECT FROM pg_locks l
    WHERE l.pid = a.pid AND l.relation = 'partition_owner'::regclass AND l.mode = 'RowShareLock' AND l.granted
  )
