-- Claims due tasks of partitions that are still ours: writes a record of them, one row a partition. At most `most`,
-- the oldest due first, after each partition's position (where our claims have got to; null: from the beginning), without
-- those that a record names (records_from: no older ones stand, to pass by the dead; null: look at all); of a
-- backlog no more than twice its even share is looked at in each partition.
--
-- Returns one row: the database's time; the partitions whose fence held, and for each the id of the oldest record that
-- stands there, or below which none ever will; the id of the records written; and the tasks, as a text of JSON: [[id,
-- name, partition, attempt, failures, scheduled, due, payload], ...], the payload only where it is short.
-- The tasks are within 64 KB and the rest is small, so that a worker frozen while it is sent cannot leave the backend
-- hanging with its locks.
--
-- Locks: the owner rows, FOR NO KEY UPDATE and in id order, all of them before any task is looked at: a higher epoch
-- waits for this claim, or this claim finds the row superseded. No task is locked. Whoever else makes a task fit or
-- unfit to be claimed changes the record that names it in the same transaction, or holds the owner row, too; and the
-- second statement has a snapshot of its own, which shows what those have done whom the first has waited for. (In one
-- statement the snapshot would be older than the wait: a task would be claimed that was just removed. FOR SHARE would
-- do against a higher epoch, but not against a claim of our own whose reply was lost and that is still at work.)
CREATE OR REPLACE FUNCTION claim_tasks(
  partitions integer[], epochs bigint[], incarnations text[], after_due_ms bigint[], after_ids bigint[],
  records_from bigint[],
  claim uuid, worker text, most integer,
  OUT now_ms double precision, OUT held integer[], OUT oldest json, OUT record_id bigint, OUT tasks text
) LANGUAGE plpgsql AS $$
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

  WITH own AS MATERIALIZED (
    SELECT h.partition_id, h.epoch, h.incarnation,
           coalesce(from_epoch_ms(h.after_due_ms), '-infinity') AS after_due, coalesce(h.after_id, 0) AS after_id,
           coalesce(h.records_from, 0) AS records_from
    FROM unnest(partitions, epochs, incarnations, after_due_ms, after_ids, records_from)
      AS h (partition_id, epoch, incarnation, after_due_ms, after_id, records_from)
    WHERE h.partition_id = ANY (held)
  ), open AS MATERIALIZED (
    -- OFFSET 0: partition by partition, by the index, however many dead records the table is full of.
    SELECT c.* FROM own CROSS JOIN LATERAL (
      SELECT partition_id, id, task_ids, attempts FROM claim_record
      WHERE partition_id = own.partition_id AND id >= own.records_from
      OFFSET 0
    ) AS c
  ), running AS MATERIALIZED (
    SELECT r.id, r.attempt FROM open CROSS JOIN LATERAL unnest(task_ids, attempts) AS r (id, attempt)
  ), due AS MATERIALIZED (
    SELECT t.*, own.epoch, own.incarnation,
           -- What is stored compressed may be long.
           CASE WHEN pg_column_size(t.payload) <= 8192 AND pg_column_compression(t.payload) IS NULL
                THEN t.payload::text END AS text
    FROM own CROSS JOIN LATERAL (
      SELECT id, partition_id, name, attempt, failures, scheduled_at, due_at, payload FROM task
      WHERE partition_id = own.partition_id AND status = 'PENDING' AND due_at <= now()
        AND (due_at, id) > (own.after_due, own.after_id)
        AND cancel_requested_at IS NULL
        AND (id, attempt + 1) NOT IN (SELECT r.id, r.attempt FROM running r)
      ORDER BY due_at, id
      LIMIT (SELECT least(most, ceil(2.0 * most / greatest(count(*), 1))) FROM own)
    ) AS t
    ORDER BY t.due_at, t.id LIMIT most
  ), sized AS (
    SELECT *, CASE WHEN octet_length(text) <= 4096 THEN text END AS short FROM due
  ), picked AS MATERIALIZED (
    SELECT *
    FROM (
      SELECT *, sum(octet_length(to_json(name)::text) + coalesce(octet_length(short), 0) + 90) OVER (ORDER BY due_at, id) AS bytes
      FROM sized
    ) AS s
    WHERE bytes <= 65536
  ), recorded AS (
    INSERT INTO claim_record (partition_id, id, claim_id, incarnation, worker_id, epoch, task_ids, attempts)
    SELECT partition_id, record_id, claim, min(incarnation), worker, min(epoch), array_agg(id), array_agg(attempt + 1)
    FROM picked GROUP BY partition_id
  )
  SELECT '[' || coalesce(string_agg(
           concat('[', id, ',', to_json(name), ',', partition_id, ',', attempt + 1, ',', failures, ',',
                  epoch_ms(scheduled_at), ',', epoch_ms(due_at), ',' || short, ']'),
           ',' ORDER BY due_at, id), '') || ']',
         (SELECT coalesce(json_agg(coalesce(o.id, record_id) ORDER BY h.ordinal), '[]')
          FROM unnest(held) WITH ORDINALITY AS h (partition_id, ordinal)
          LEFT JOIN (SELECT partition_id, min(id) AS id FROM open GROUP BY partition_id) AS o USING (partition_id))
  INTO tasks, oldest
  FROM picked;
END $$;
