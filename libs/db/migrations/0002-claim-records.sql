-- What runs stands in records of claims, one row a partition and claim, and no longer in the rows of tasks: a task's
-- row is written when it is submitted and when an attempt ends (docs/adr/0009-claims-as-records.md).

-- First of all: what a worker of the build before claims after the copy below, and before the rows are changed, would be
-- in no record.
LOCK TABLE task IN ACCESS EXCLUSIVE MODE;

-- A task runs if a record names it with the attempt after its row's. id grows in the order of claims, within a
-- partition; claim_id is the caller's name for a claim, whose records have all the same.
CREATE TABLE claim_record (
  partition_id integer NOT NULL,
  id           bigint NOT NULL,
  claim_id     uuid NOT NULL,
  incarnation  text NOT NULL,
  worker_id    text NOT NULL,
  epoch        bigint NOT NULL,
  claimed_at   timestamptz NOT NULL DEFAULT now(),
  task_ids     bigint[] NOT NULL,
  attempts     integer[] NOT NULL,
  PRIMARY KEY (partition_id, id),
  CHECK (cardinality(task_ids) > 0 AND cardinality(task_ids) = cardinality(attempts))
);
CREATE SEQUENCE claim_record_id OWNED BY claim_record.id;
-- What an incarnation runs.
CREATE INDEX claim_record_incarnation ON claim_record (incarnation, id);

INSERT INTO claim_record (partition_id, id, claim_id, incarnation, worker_id, epoch, claimed_at, task_ids, attempts)
SELECT partition_id, nextval('claim_record_id'), claim_id, incarnation, worker_id, epoch, started_at,
       array_agg(id), array_agg(attempt)
FROM task WHERE status = 'RUNNING'
GROUP BY partition_id, claim_id, incarnation, worker_id, epoch, started_at;

DROP INDEX task_running_incarnation, task_running_partition;
ALTER TABLE task
  DROP CONSTRAINT task_check,
  DROP CONSTRAINT task_check1,
  DROP CONSTRAINT task_status_check;

-- due_at is in whole milliseconds from here on, as whoever reads a backlog in steps has to name a position in it.
UPDATE task
SET status = 'PENDING', due_at = date_trunc('milliseconds', due_at),
    attempt = attempt - CASE WHEN status = 'RUNNING' THEN 1 ELSE 0 END
WHERE status IN ('PENDING', 'RUNNING');

ALTER TABLE task
  ADD CONSTRAINT task_status_check CHECK (status IN ('PENDING', 'COMPLETED', 'FAILED', 'CANCELLED')),
  DROP COLUMN epoch,
  DROP COLUMN claim_id;

-- A task as readers see it: RUNNING where a record says so, with the attempt that runs and who runs it.
CREATE VIEW task_state AS
SELECT t.id, t.partition_id,
       CASE WHEN r.id IS NULL THEN t.status ELSE 'RUNNING' END AS status,
       coalesce(t.attempt + (r.id IS NOT NULL)::integer, t.attempt) AS attempt,
       t.failures, t.due_at, t.scheduled_at, t.created_at,
       coalesce(r.claimed_at, t.started_at) AS started_at,
       t.completed_at, t.cancel_requested_at,
       CASE WHEN r.id IS NULL THEN t.incarnation ELSE r.incarnation END AS incarnation,
       coalesce(r.worker_id, t.worker_id) AS worker_id,
       r.epoch, r.claim_id,
       t.name, t.key, t.last_error, t.payload
FROM task t
LEFT JOIN LATERAL (
  SELECT c.id, c.claim_id, c.incarnation, c.worker_id, c.epoch, c.claimed_at
  FROM claim_record c
  WHERE t.status = 'PENDING' AND c.partition_id = t.partition_id
    AND c.attempts[array_position(c.task_ids, t.id)] = t.attempt + 1
) AS r ON true;

-- Wakes the owners of `partitions`, where something is due at `due` at the earliest, once a statement however many
-- tasks it wrote: NOTIFY takes a global lock at commit. The payload is that time in ms and a list of partitions; a
-- list over the payload's limit of 8,000 bytes becomes '*'.
DROP FUNCTION notify_task_due(integer[]);
CREATE FUNCTION notify_task_due(partitions integer[], due timestamptz) RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
  SELECT pg_notify('task_due', epoch_ms(date_trunc('milliseconds', due)) || ':' ||
                   CASE WHEN length(list) < 7900 THEN list ELSE '*' END)
  FROM (SELECT string_agg(DISTINCT p::text, ',') AS list FROM unnest(partitions) AS p) AS due_soon
  WHERE list IS NOT NULL;
END;
