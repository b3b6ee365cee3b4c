-- Clears the owner of the partitions that are still ours at that epoch; the epoch stays.
-- $1 incarnation, $2 partitions, $3 epochs
-- Locks: the owner rows, FOR NO KEY UPDATE, in id order. Waits for claims in flight, so that after
-- it no claim under this epoch can commit. Races with an acquirer: a row it has taken is no longer ours.
WITH locked AS MATERIALIZED (
  SELECT o.partition_id
  FROM unnest($2::integer[], $3::bigint[]) AS r (partition_id, epoch)
  JOIN partition_owner o ON o.partition_id = r.partition_id AND o.epoch = r.epoch AND o.incarnation = $1::text
  ORDER BY o.partition_id
  FOR NO KEY UPDATE OF o
)
UPDATE partition_owner o SET owner = NULL, incarnation = NULL, acquired_at = NULL
FROM locked l
WHERE o.partition_id = l.partition_id AND o.incarnation = $1::text
