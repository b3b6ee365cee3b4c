-- Creates or extends the leases of a worker's incarnations.
-- $1 worker id, $2 incarnations, $3 length of the lease in ms
-- backend_name is this connection's application_name, which all connections of the process share: a new
-- incarnation goes on with what the process' others have not broken.
-- A renewal after a gap breaks: clock_timestamp, since this statement may have waited for its row.
-- Locks: the session rows, in the order of their incarnations. Races with a recovery, which holds the row
-- FOR SHARE while it judges it: whoever comes second waits and sees what the first has made of it.
WITH renewed AS (
  INSERT INTO worker_session AS s (incarnation, worker_id, backend_name, lease_ms, expires_at, unbroken_since)
  SELECT incarnation, $1::text, current_setting('application_name'), $3::integer,
         now() + $3 * interval '1 millisecond',
         coalesce((SELECT min(o.unbroken_since) FROM worker_session o
                   WHERE o.backend_name = current_setting('application_name')
                     AND renewed_in_time(o.expires_at, o.lease_ms, now())), now())
  FROM unnest($2::text[]) AS incarnation
  ORDER BY incarnation
  ON CONFLICT (incarnation) DO UPDATE
    SET expires_at = excluded.expires_at, lease_ms = excluded.lease_ms, backend_name = excluded.backend_name,
        unbroken_since = CASE WHEN renewed_in_time(s.expires_at, s.lease_ms, clock_timestamp())
                              THEN least(s.unbroken_since, now()) ELSE clock_timestamp() END
)
SELECT (extract(epoch FROM now()) * 1000)::double precision AS now_ms,
       epoch_ms(now() + $3 * interval '1 millisecond') AS expires_ms
