-- Claims due tasks of partitions that are still ours: writes a record of them, one row a partition. At most `most`,
-- the urgent first and then the oldest due, after each partition's position (where our claims have got to in what has no priority; null: from the beginning), without
-- those that a record names (records_from: no older ones stand, to pass by the dead; null: look at all); of each
-- partition no more than its even share; only of these names, where they are listed, or else all but these.
--
-- Returns one row: the database's time; the partitions whose fence held, and for each the id of the oldest record that
-- stands there, or below which none ever will; the id of the records written; and the tasks, as a text of JSON: [[id,
-- name, partition, attempt, failures, due, more, payload], ...], more being 0, or {scheduledAtMs, policy, priority, serial, long}
-- where the task's first time is another than the due one, it has a policy or a priority of its own, is serial, or its payload is long. (The
-- functions before it said null, of long payloads too.) The
-- payloads come along where they are short and all is within 64 KB; where the tasks without them are not, they are fewer; and the rest is
-- small, so that a worker frozen while it is sent cannot leave the backend hanging with its locks.
--
-- Locks: the owner rows, FOR NO KEY UPDATE and in id order, all of them before any task is looked at: a higher epoch
-- waits for this claim, or this claim finds the row superseded. No task is locked. Whoever else makes a task fit or
-- unfit to be claimed changes the record that names it in the same transaction, or holds the owner row, too; and the
-- statements after it have snapshots of their own, which show what those have done whom the first has waited for. (In one
-- statement the snapshot would be older than the wait: a task would be claimed that was just removed. FOR SHARE would
-- do against a higher epoch, but not against a claim of our own whose reply was lost and that is still at work.) Each priority's has
-- one, too; no task changes from one to another meanwhile, as that takes the owner row.
--
-- date_part: a double is exact enough for times that are past, and takes a fifth of what a numeric does.
CREATE OR REPLACE FUNCTION claim_tasks(
  partitions integer[], epochs bigint[], incarnations text[], after_due_ms bigint[], after_ids bigint[],
  records_from bigint[],
  claim uuid, worker text, most integer, names text[], listed boolean,
  OUT now_ms double precision, OUT held integer[], OUT oldest json, OUT record_id bigint, OUT tasks text
) LANGUAGE plpgsql AS $$
DECLARE
  most_bytes CONSTANT integer := 65536;
  priorities smallint[] := '{0}';
  level smallint;
  -- Of each partition, at most.
  share integer;
  look record;
  ids bigint[] := '{}';
  places integer[] := '{}';
  attempts integer[] := '{}';
  -- Of each task, with its payload and without.
  texts text[] := '{}';
  heads text[] := '{}';
  taken integer;
BEGIN
  now_ms := extract(epoch FROM now()) * 1000;
  SELECT coalesce(array_agg(o.partition_id), '{}') INTO held
  FROM (
    SELECT p.partition_id
    FROM unnest(partitions, epochs, incarnations) AS h (partition_id, epoch, incarnation)
    JOIN partition_owner p
      ON p.partition_id = h.partition_id AND p.epoch = h.epoch AND p.incarnation = h.incarnation
    ORDER BY p.partition_id
    FOR NO KEY UPDATE OF p
  ) AS o;
  record_id := nextval('claim_record_id');
  share := ceil(most::double precision / greatest(cardinality(held), 1));

  -- Priority by priority, of those at which something is due here; mostly nothing has any.
  IF EXISTS (
    SELECT FROM task WHERE status = 'PENDING' AND priority > 0 AND blocked IS NOT TRUE AND partition_id = ANY (held)
  ) THEN
    -- OFFSET 0: one after the other. As a join of both it may read the index of what is due, dead entries included.
    SELECT coalesce(array_agg(p.priority ORDER BY p.priority DESC), '{}') || priorities INTO priorities
    FROM generate_series(1, 9) AS p (priority)
    WHERE EXISTS (
      SELECT FROM task t
      WHERE t.status = 'PENDING' AND t.priority = p.priority AND t.blocked IS NOT TRUE AND t.partition_id = ANY (held)
        AND t.due_at <= now()
      OFFSET 0
    );
  END IF;
  FOREACH level IN ARRAY priorities LOOP
    WITH own AS MATERIALIZED (
      SELECT h.partition_id, CASE WHEN level = 0 THEN from_epoch_ms(h.after_due_ms) END AS after_due,
             coalesce(h.after_id, 0) AS after_id, coalesce(h.records_from, 0) AS records_from,
             share - (SELECT count(*) FROM unnest(places) AS p (partition_id) WHERE p.partition_id = h.partition_id) AS share
      FROM unnest(partitions, after_due_ms, after_ids, records_from) AS h (partition_id, after_due_ms, after_id, records_from)
      WHERE h.partition_id = ANY (held)
    ), open AS MATERIALIZED (
      -- OFFSET 0: partition by partition, by the index, however many dead records the table is full of.
      SELECT o.* FROM own CROSS JOIN LATERAL (
        SELECT c.partition_id, c.id, c.task_ids, c.attempts FROM claim_record c
        WHERE c.partition_id = own.partition_id AND c.id >= own.records_from
        OFFSET 0
      ) AS o
    ), running AS MATERIALIZED (
      SELECT r.id, r.attempt FROM open o CROSS JOIN LATERAL unnest(o.task_ids, o.attempts) AS r (id, attempt)
    ), due AS (
      SELECT t.*
      FROM own CROSS JOIN LATERAL (
        SELECT id, partition_id, name, attempt, failures, scheduled_at, due_at, policy, priority, serial,
               -- What is stored compressed may be long. What is not is as long as its column, but for a header.
               CASE WHEN pg_column_size(payload) <= 4096 AND pg_column_compression(payload) IS NULL THEN payload::text END AS short
        FROM task
        WHERE partition_id = own.partition_id AND status = 'PENDING' AND priority = level AND blocked IS NOT TRUE
          AND due_at <= now() AND (due_at, id) > (coalesce(own.after_due, '-infinity'), own.after_id)
          AND cancel_requested_at IS NULL AND (name = ANY (names)) = listed
          AND (id, attempt + 1) NOT IN (SELECT r.id, r.attempt FROM running r)
        ORDER BY due_at, id LIMIT own.share
      ) AS t
      ORDER BY t.due_at, t.id LIMIT most - cardinality(ids)
    ), told AS (
      -- OFFSET 0: each head once.
      SELECT id, partition_id, attempt, short,
             concat_ws(',', '[' || id, to_json(name), partition_id, attempt + 1, failures,
               round(date_part('epoch', due_at) * 1000)::bigint,
               CASE WHEN scheduled_at = due_at AND policy IS NULL AND priority = 0 AND NOT serial AND short IS NOT NULL THEN '0'
                    ELSE json_build_object('scheduledAtMs', round(date_part('epoch', scheduled_at) * 1000)::bigint,
                                           'policy', policy, 'priority', priority, 'serial', serial, 'long', short IS NULL)::text
               END) AS head
      FROM due OFFSET 0
    )
    SELECT array_agg(id) AS ids, array_agg(partition_id) AS places, array_agg(attempt + 1) AS attempts,
           array_agg(concat(head, ',' || short, ']')) AS texts, array_agg(head || ']') AS heads,
           (SELECT coalesce(json_agg(coalesce(o.id, record_id) ORDER BY h.ordinal), '[]')
            FROM unnest(held) WITH ORDINALITY AS h (partition_id, ordinal)
            LEFT JOIN (SELECT partition_id, min(id) AS id FROM open GROUP BY partition_id) AS o USING (partition_id)) AS oldest
    INTO look
    FROM told;
    -- Of the first look: what has begun since is above it.
    oldest := coalesce(oldest, look.oldest);
    ids := ids || look.ids;
    places := places || look.places;
    attempts := attempts || look.attempts;
    texts := texts || look.texts;
    heads := heads || look.heads;
    EXIT WHEN cardinality(ids) >= most;
  END LOOP;

  taken := cardinality(ids);
  LOOP
    tasks := concat('[', array_to_string(texts[:taken], ','), ']');
    EXIT WHEN octet_length(tasks) <= most_bytes;
    IF texts <> heads THEN
      texts := heads;
    ELSE
      taken := taken * most_bytes::bigint / octet_length(tasks);
    END IF;
  END LOOP;

  INSERT INTO claim_record (partition_id, id, claim_id, incarnation, worker_id, epoch, task_ids, attempts)
  SELECT t.partition_id, record_id, claim, min(h.incarnation), worker, min(h.epoch), array_agg(t.id), array_agg(t.attempt)
  FROM unnest(ids[:taken], places[:taken], attempts[:taken]) AS t (id, partition_id, attempt)
  JOIN unnest(partitions, epochs, incarnations) AS h (partition_id, epoch, incarnation) USING (partition_id)
  GROUP BY t.partition_id;
END $$;
