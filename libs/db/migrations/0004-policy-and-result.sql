-- What a submitter has said of a task's attempts: {maxAttempts, backoff: {baseMs, maxMs, factor}, timeoutMs}, each only
-- where it was said; null: nothing was. The defaults stand in libs/core/task.ts.
ALTER TABLE task ADD COLUMN policy jsonb CHECK (jsonb_typeof(policy) = 'object');

-- What its handler returned.
ALTER TABLE task ADD COLUMN result jsonb;

-- Whether a task that a user wants cancelled is to go altogether; and how often users have changed it.
ALTER TABLE task
  ADD COLUMN removal_requested boolean NOT NULL DEFAULT false,
  ADD COLUMN revision integer NOT NULL DEFAULT 0;
UPDATE task SET removal_requested = true WHERE cancel_requested_at IS NOT NULL;

-- Higher first among what is due in a partition. What has a priority is little, and has an index of its own.
ALTER TABLE task ADD COLUMN priority smallint NOT NULL DEFAULT 0 CHECK (priority BETWEEN 0 AND 9);

-- What users find it by. Tasks of one key that are serial run one at a time: all but the first in line are blocked. Null of
-- those that are not serial: an outcome looks at each column that an index knows, and at a null it need not look for long.
ALTER TABLE task
  ADD COLUMN tags text[],
  ADD COLUMN serial boolean NOT NULL DEFAULT false,
  ADD COLUMN blocked boolean,
  ADD CONSTRAINT task_serial_check CHECK (NOT serial OR num_nulls(key, blocked) = 0);

-- What may be claimed, by when it is due. The statements that use these indexes spell their predicates as they stand here.
DROP INDEX task_due;
CREATE INDEX task_due ON task (partition_id, due_at, id) WHERE status = 'PENDING' AND priority = 0 AND blocked IS NOT TRUE;
CREATE INDEX task_urgent ON task (partition_id, priority, due_at, id)
  WHERE status = 'PENDING' AND priority > 0 AND blocked IS NOT TRUE;
-- Each line's head, of which there is one at most, and those behind it.
CREATE UNIQUE INDEX task_head ON task (partition_id, key) WHERE status = 'PENDING' AND NOT blocked;
CREATE INDEX task_line ON task (partition_id, key, scheduled_at, id) WHERE status = 'PENDING' AND blocked;
-- Lines that a transaction has added to that goes on for longer than a statement: they are put in order as it commits, since
-- claims wait for it from then on. Who adds to lines names them in line_change, and then says in line_commit that he has: a
-- row there is one firing of the trigger, and there is one a transaction, however many lines. Nobody ever sees rows of either but the
-- transaction that has written them; it finds its own by its id, past what others have left behind until a vacuum.
CREATE TABLE line_change (
  partition_id integer NOT NULL,
  key          text NOT NULL,
  transaction  xid8 NOT NULL DEFAULT pg_current_xact_id(),
  PRIMARY KEY (transaction, partition_id, key)
);
CREATE TABLE line_commit (
  transaction xid8 PRIMARY KEY DEFAULT pg_current_xact_id()
);
CREATE FUNCTION elect_heads_at_commit() RETURNS trigger LANGUAGE plpgsql
-- In an application's session, whose plans may be as old as it and made while the tables were small.
SET enable_seqscan = off
AS $$
DECLARE
  partitions integer[];
  keys text[];
BEGIN
  -- elect_heads waits for claims, and looks at what they have left: with an older snapshot it would not see it.
  IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'serial needs the isolation level READ COMMITTED';
  END IF;
  -- What is added after this, where the trigger was told not to wait for the commit, is another firing.
  DELETE FROM line_commit WHERE transaction = pg_current_xact_id();
  WITH changed AS (DELETE FROM line_change WHERE transaction = pg_current_xact_id() RETURNING partition_id, key)
  SELECT array_agg(c.partition_id), array_agg(c.key) INTO partitions, keys FROM changed c;
  PERFORM elect_heads(partitions, keys);
  RETURN NULL;
END $$;
-- With the rights of its owner, as the function that adds to lines: before Postgres 18 it would have those of whoever commits.
DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION elect_heads_at_commit() SECURITY DEFINER SET search_path = %I, pg_temp', current_schema());
END $$;
CREATE CONSTRAINT TRIGGER elect_heads_at_commit AFTER INSERT ON line_commit DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION elect_heads_at_commit();

-- How far its attempt has got, as its handler says: {attempt, done, note}. Of an earlier attempt it says nothing any more.
ALTER TABLE task ADD COLUMN progress jsonb;

-- Attempts that have ended otherwise than COMPLETED; the one that has stands in its task's row. Goes with its task, by
-- those who remove tasks: a foreign key would look here for each.
ALTER TABLE task ADD COLUMN epoch bigint;
CREATE TABLE task_attempt (
  task_id    bigint NOT NULL,
  attempt    integer NOT NULL,
  worker_id  text NOT NULL,
  epoch      bigint NOT NULL,
  started_at timestamptz NOT NULL,
  ended_at   timestamptz NOT NULL DEFAULT now(),
  outcome    text NOT NULL CHECK (outcome IN ('FAILED', 'HANDED_BACK', 'LOST')),
  error      jsonb,
  PRIMARY KEY (task_id, attempt)
);

-- What an Idempotency-Key was used for: with what the request says itself, enough to answer it again.
CREATE TABLE idempotency_key (
  key           text PRIMARY KEY,
  fingerprint   text NOT NULL,
  task_ids      bigint[] NOT NULL,
  partition_ids integer[] NOT NULL,
  created_at    timestamptz NOT NULL,
  expires_at    timestamptz NOT NULL
);
CREATE INDEX idempotency_key_expiry ON idempotency_key (expires_at);

-- For applications, see functions/scheduler.submit_task.sql.
CREATE SCHEMA scheduler;
-- How far the removal of tasks that ended long ago has come: past these ids since begun_at. One row. fillfactor: it is
-- rewritten for ever, within its page.
CREATE TABLE retention (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  place     bigint NOT NULL DEFAULT 0 CHECK (place >= 0),
  begun_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
INSERT INTO retention DEFAULT VALUES;

-- Their arguments change: cluster-init creates them anew.
DROP FUNCTION IF EXISTS claim_tasks(
  integer[], bigint[], text[], bigint[], bigint[], bigint[], uuid, text, integer
);
DROP FUNCTION IF EXISTS finish_tasks(
  integer[], bigint[], bigint[], integer[], double precision[], text, text, text[], double precision[], text[]
);
DROP FUNCTION IF EXISTS recover_tasks(integer[], bigint[], text[], integer, double precision[], text[]);

-- A task as readers see it: RUNNING where a record says so, with the attempt that runs and who runs it.
CREATE OR REPLACE VIEW task_state AS
SELECT t.id, t.partition_id,
       CASE WHEN r.id IS NULL THEN t.status ELSE 'RUNNING' END AS status,
       coalesce(t.attempt + (r.id IS NOT NULL)::integer, t.attempt) AS attempt,
       t.failures, t.due_at, t.scheduled_at, t.created_at,
       coalesce(r.claimed_at, t.started_at) AS started_at,
       t.completed_at, t.cancel_requested_at,
       CASE WHEN r.id IS NULL THEN t.incarnation ELSE r.incarnation END AS incarnation,
       coalesce(r.worker_id, t.worker_id) AS worker_id,
       coalesce(r.epoch, t.epoch) AS epoch, r.claim_id,
       t.name, t.key, t.last_error, t.payload, t.policy, t.result, t.removal_requested, t.revision, t.priority,
       t.tags, t.serial, t.blocked, t.progress
FROM task t
LEFT JOIN LATERAL (
  SELECT c.id, c.claim_id, c.incarnation, c.worker_id, c.epoch, c.claimed_at
  FROM claim_record c
  WHERE t.status = 'PENDING' AND c.partition_id = t.partition_id
    AND c.attempts[array_position(c.task_ids, t.id)] = t.attempt + 1
) AS r ON true;
