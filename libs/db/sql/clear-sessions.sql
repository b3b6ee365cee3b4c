-- Clears away at most 100 sessions of anybody's that ended over an hour ago and neither own nor run anything.
-- Not with a renewal: beside a transaction that is held open, looking for what a session runs passes by all that it ever ran.
-- OFFSET 0: session by session; as a join it may read all dead records, however few sessions there are.
-- Locks: the session rows; what somebody has locked is left for the next time.
DELETE FROM worker_session WHERE incarnation IN (
  SELECT s.incarnation FROM worker_session s
  WHERE s.expires_at < now() - interval '1 hour'
    AND NOT EXISTS (SELECT FROM partition_owner o WHERE o.incarnation = s.incarnation)
    AND NOT EXISTS (SELECT FROM claim_record c WHERE c.incarnation = s.incarnation OFFSET 0)
  LIMIT 100 FOR UPDATE OF s SKIP LOCKED
)
