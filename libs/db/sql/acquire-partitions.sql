-- Takes the partitions granted under a higher epoch than their rows stand at, or under the same epoch by the
-- same incarnation (a repeated call). The epoch never goes down.
-- $1 worker id, $2 incarnation, $3 partitions, $4 epochs granted, $5 lock timeout in ms
-- Returns each partition's epoch as it stands now, and whether it is ours.
-- Locks: the owner rows, FOR NO KEY UPDATE, in id order; waits for claims, recoveries and removals in flight
-- for at most the lock timeout, which is set before the first row is locked and ends with this statement's
-- transaction. Races with other acquirers of the same rows: the higher epoch wins, in either order.
WITH timeout AS MATERIALIZED (
  SELECT set_config('lock_timeout', $5::text, true)
), granted AS (
  SELECT g.partition_id, g.epoch
  FROM unnest($3::integer[], $4::bigint[]) AS g (partition_id, epoch), timeout
), locked AS MATERIALIZED (
  SELECT o.partition_id, o.epoch, g.epoch AS granted_epoch
  FROM granted g JOIN partition_owner o ON o.partition_id = g.partition_id
  ORDER BY o.partition_id
  FOR NO KEY UPDATE OF o
), taken AS (
  UPDATE partition_owner o
  SET epoch = l.granted_epoch, owner = $1::text, incarnation = $2::text, acquired_at = now()
  FROM locked l
  WHERE o.partition_id = l.partition_id
    AND (o.epoch < l.granted_epoch OR (o.epoch = l.granted_epoch AND o.incarnation = $2::text))
  RETURNING o.partition_id, o.epoch
)
SELECT l.partition_id AS partition, coalesce(t.epoch, l.epoch) AS epoch, t.epoch IS NOT NULL AS owned
FROM locked l LEFT JOIN taken t ON t.partition_id = l.partition_id
ORDER BY l.partition_id
