-- Ends a lease whose incarnation owns nothing and runs nothing any more; any other runs out by itself.
-- $1 incarnation
-- Locks: the session row. Races with a recovery that judges it, and waits.
DELETE FROM worker_session s
WHERE s.incarnation = $1::text
  AND NOT EXISTS (SELECT FROM partition_owner o WHERE o.incarnation = s.incarnation)
  AND NOT EXISTS (SELECT FROM claim_record c WHERE c.incarnation = s.incarnation)
