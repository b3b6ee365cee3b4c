-- How many due tasks of some partitions have none of these names, by their names: of each partition those among its thousand
-- oldest without a priority, and its thousand first with one.
-- $1 partitions, $2 names
-- Locks: nothing.
SELECT t.name, count(*)::integer AS count
FROM unnest($1::integer[]) AS own (partition_id)
CROSS JOIN LATERAL (
  (SELECT name FROM task
   WHERE partition_id = own.partition_id AND status = 'PENDING' AND priority = 0 AND blocked IS NOT TRUE AND due_at <= now()
   ORDER BY due_at, id LIMIT 1000)
  UNION ALL
  (SELECT name FROM task
   WHERE partition_id = own.partition_id AND status = 'PENDING' AND priority > 0 AND blocked IS NOT TRUE AND due_at <= now()
   ORDER BY priority, due_at, id LIMIT 1000)
) AS t
WHERE t.name <> ALL ($2::text[])
GROUP BY t.name
ORDER BY t.name
