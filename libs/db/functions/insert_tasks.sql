-- Inserts tasks and wakes the owners of what is due within 5 s (sql/insert-usual.sql: where only names, keys and payloads are given).
-- Ids grow in the order of the arrays, of which each element is a
-- task's: its key (null: sharded by the id), payload (JSON text), scheduled time (null: so many ms from now; null: now),
-- and what is not as usual (JSON text of {policy, priority, tags, serial}, each where it is not; null: all is). Of those that are
-- to be inserted once, once is the Idempotency-Key, which all tasks of one request share, and fingerprint that of the request.
-- Where all of keys, scheduled_ms, delays_ms, more or once is null, the array may be empty. keep_ms is how long an Idempotency-Key
-- is remembered. ids and places are the tasks' own and their partitions, where the caller has taken them from the sequence and
-- hashed the keys; null: they are found here. Lines of serial tasks are put in order at once (elect_heads), or where the caller's
-- transaction may go on for long, as it commits.
--
-- Returns arrays, since a thousand rows take longer to pass on than to find: the tasks' ids and partitions, in the order given, and
-- when they were stored: null where cluster-init has not recorded the partition count. What became of those that
-- were not stored now is told by their number, from 0, in [number, when, what]: repeated, where their key was used before, by the same
-- request: then id, partition and time are those of that time; reused, by another one; or in flight, where another call is about to
-- use it: then nothing is known of that yet, and nothing is stored.
--
-- Locks: an advisory lock for each key, none of which it waits for, so that it never waits for another call's row either (but for
-- one that is over and just being removed). A key that is found is locked as well, so that it is there to be read; others that are
-- over are removed, where nobody holds them. Then its own tasks; and where any is serial, what elect_heads locks. NOTIFY's global lock
-- at commit.
CREATE OR REPLACE FUNCTION insert_tasks(
  names text[], keys text[], payloads text[], scheduled_ms bigint[], delays_ms bigint[], more text[],
  keep_ms double precision, once text[], fingerprints text[], INOUT ids bigint[] DEFAULT NULL, INOUT places integer[] DEFAULT NULL,
  lines_at_commit boolean DEFAULT false, OUT created_ms bigint, OUT others jsonb
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  at CONSTANT timestamptz := date_trunc('milliseconds', now());
  -- When each is due by its submitter; null: now.
  times timestamptz[];
  busy text[];
  won text[];
  waiting integer[];
  next_due timestamptz;
  line_partitions integer[];
  line_keys text[];
BEGIN
  IF ids IS NULL THEN
    SELECT array_agg(i.id), array_agg(partition_of(coalesce(i.key, i.id::text), m.partitions)) INTO ids, places
    FROM (
      SELECT nextval('task_id_seq') AS id, u.key FROM unnest(names, keys) AS u (name, key)
    ) AS i
    CROSS JOIN cluster_meta m;
    IF ids IS NULL THEN
      RETURN;
    END IF;
  END IF;
  created_ms := epoch_ms(at);

  IF cardinality(once) > 0 THEN
    SELECT coalesce(array_agg(o.key), '{}') INTO busy
    FROM (SELECT DISTINCT u.key FROM unnest(once) AS u (key) WHERE u.key IS NOT NULL OFFSET 0) AS o
    WHERE NOT pg_try_advisory_xact_lock(hashtextextended('idempotency_key ' || o.key, 0));
    WITH asked AS (
      SELECT o.key, min(o.fingerprint) AS fingerprint, array_agg(o.id ORDER BY o.id) AS task_ids,
             array_agg(o.place ORDER BY o.id) AS partition_ids
      FROM unnest(once, fingerprints, ids, places) AS o (key, fingerprint, id, place)
      WHERE o.key IS NOT NULL AND o.key <> ALL (busy)
      GROUP BY o.key
    ), stored AS (
      INSERT INTO idempotency_key AS k (key, fingerprint, task_ids, partition_ids, created_at, expires_at)
      SELECT a.key, a.fingerprint, a.task_ids, a.partition_ids, at, now() + keep_ms * interval '1 millisecond'
      FROM asked a ORDER BY a.key
      ON CONFLICT (key) DO UPDATE
        SET fingerprint = excluded.fingerprint, task_ids = excluded.task_ids, partition_ids = excluded.partition_ids,
            created_at = excluded.created_at, expires_at = excluded.expires_at
        WHERE k.expires_at <= now()
      RETURNING k.key
    )
    SELECT coalesce(array_agg(s.key), '{}') INTO won FROM stored s;
    -- Two for each that comes: those that are no longer remembered never become many.
    DELETE FROM idempotency_key k WHERE k.key = ANY (ARRAY(
      SELECT x.key FROM idempotency_key x WHERE x.expires_at <= now()
      ORDER BY x.expires_at LIMIT 2 * cardinality(won) FOR UPDATE SKIP LOCKED
    ));
  END IF;

  IF cardinality(scheduled_ms) + cardinality(delays_ms) > 0 THEN
    SELECT array_agg(CASE WHEN g.scheduled_ms IS NOT NULL THEN from_epoch_ms(g.scheduled_ms)
                          ELSE at + g.delay_ms * interval '1 millisecond' END ORDER BY g.ordinal)
    INTO times
    FROM unnest(names, scheduled_ms, delays_ms) WITH ORDINALITY AS g (name, scheduled_ms, delay_ms, ordinal);
  END IF;
  -- The arrays are read by the target list, as FROM writes each into a table of its own first: 7 % of a call of 1,000.
  INSERT INTO task (
    id, partition_id, name, key, payload, policy, priority, tags, serial, blocked, scheduled_at, due_at, created_at
  )
  SELECT i.id, i.place, i.name, i.key, i.payload::json,
         i.more -> 'policy', coalesce((i.more -> 'priority')::smallint, 0),
         CASE WHEN i.more ? 'tags' THEN ARRAY(SELECT jsonb_array_elements_text(i.more -> 'tags')) END,
         coalesce((i.more -> 'serial')::boolean, false), nullif((i.more -> 'serial')::boolean, false),
         i.scheduled_at, greatest(i.scheduled_at, at), at
  FROM (
    SELECT g.id, g.place, g.name, g.key, g.payload, g.more::jsonb AS more, coalesce(g.scheduled_at, at) AS scheduled_at
    FROM (
      SELECT unnest(ids) AS id, unnest(places) AS place, unnest(names) AS name, unnest(keys) AS key, unnest(payloads) AS payload,
             unnest(times) AS scheduled_at, unnest(more) AS more, unnest(once) AS once
    ) AS g
    WHERE g.once IS NULL OR g.once = ANY (won)
  ) AS i;
  SELECT array_agg(n.place) FILTER (WHERE n.soon AND NOT n.serial), min(n.due_at) FILTER (WHERE n.soon AND NOT n.serial),
         array_agg(n.place) FILTER (WHERE n.serial), array_agg(n.key) FILTER (WHERE n.serial)
  INTO waiting, next_due, line_partitions, line_keys
  FROM (
    SELECT g.place, g.key, coalesce((g.more::jsonb -> 'serial')::boolean, false) AS serial, due_at,
           due_at <= now() + interval '5 seconds' AS soon
    FROM unnest(places, keys, times, more, once) AS g (place, key, scheduled_at, more, once),
         LATERAL (SELECT greatest(g.scheduled_at, at) AS due_at) AS d
    WHERE g.once IS NULL OR g.once = ANY (won)
  ) AS n;
  IF line_keys IS NOT NULL AND lines_at_commit THEN
    INSERT INTO line_change (partition_id, key)
    SELECT l.partition_id, l.key FROM unnest(line_partitions, line_keys) AS l (partition_id, key)
    ON CONFLICT DO NOTHING;
    -- Last: where constraints are immediate, this puts them in order.
    INSERT INTO line_commit DEFAULT VALUES ON CONFLICT DO NOTHING;
  ELSIF line_keys IS NOT NULL THEN
    PERFORM elect_heads(line_partitions, line_keys);
  END IF;
  IF waiting IS NOT NULL THEN
    PERFORM notify_task_due(waiting, next_due);
  END IF;

  others := '[]';
  IF won IS NOT NULL THEN
    SELECT array_agg(r.id ORDER BY r.ordinal), array_agg(r.place ORDER BY r.ordinal),
           coalesce(jsonb_agg(jsonb_build_array(r.ordinal - 1, epoch_ms(r.created_at), r.what)) FILTER (WHERE r.what <> 'stored'), '[]')
    INTO ids, places, others
    FROM (
      SELECT o.ordinal, coalesce(k.task_ids[o.number], o.id) AS id, coalesce(k.partition_ids[o.number], o.place) AS place,
             coalesce(k.created_at, at) AS created_at,
             CASE WHEN o.once = ANY (busy) THEN 'in flight' WHEN k.key IS NULL THEN 'stored'
                  WHEN k.fingerprint = o.fingerprint THEN 'repeated' ELSE 'reused' END AS what
      FROM (
        SELECT u.*, row_number() OVER (PARTITION BY u.once ORDER BY u.ordinal) AS number
        FROM unnest(ids, places, once, fingerprints) WITH ORDINALITY AS u (id, place, once, fingerprint, ordinal)
      ) AS o
      LEFT JOIN idempotency_key k ON k.key = ANY (ARRAY[o.once]) AND o.once <> ALL (won)
    ) AS r;
  END IF;
END $$;
