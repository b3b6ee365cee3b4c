-- Wakes the owners of these partitions, which may be named more than once: something of theirs is due at this time. A message of
-- Postgres holds less than 8,000 bytes; one that would not names all partitions.
CREATE OR REPLACE FUNCTION notify_task_due(partitions integer[], due timestamptz) RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
  SELECT pg_notify('task_due', epoch_ms(date_trunc('milliseconds', due)) || ':' ||
                   CASE WHEN length(list) < 7900 THEN list ELSE '*' END)
  FROM (SELECT string_agg(p::text, ',' ORDER BY p) AS list FROM (SELECT DISTINCT p FROM unnest(partitions) AS p) AS named) AS due_soon
  WHERE list IS NOT NULL;
END;
