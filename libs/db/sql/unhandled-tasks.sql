-- How many due tasks of some partitions have none of these names, by their names: of each partition those among its thousand
-- oldest of each priority.
-- $1 partitions, $2 names
-- Locks: nothing.
SELECT t.name, count(*)::integer AS count
FROM unnest($1::integer[]) AS own (partition_id)
CROSS JOIN generate_series(
  0, CASE WHEN EXISTS (
    SELECT FROM task WHERE status = 'PENDING' AND priority > 0 AND blocked IS NOT TRUE AND partition_id = ANY ($1::integer[])
  ) THEN 9 ELSE 0 END
) AS level
CROSS JOIN LATERAL (
  SELECT name FROM task
  WHERE partition_id = own.partition_id AND status = 'PENDING' AND priority = level AND blocked IS NOT TRUE AND due_at <= now()
  ORDER BY due_at, id LIMIT 1000
) AS t
WHERE t.name <> ALL ($2::text[])
GROUP BY t.name
ORDER BY t.name
