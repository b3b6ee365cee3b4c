-- Changes a task that waits: null leaves what it is of. expected names the versions, "revision.attempt", of which it must be
-- one; null: any. Returns patched, changed where it is of another version, running, completed, failed or cancelled where it
-- does not wait, or null for an unknown id. Locks: lock_task; elect_heads.
CREATE OR REPLACE FUNCTION patch_task(
  task_id bigint, expected text[], new_scheduled_at timestamptz, new_payload json, new_max_attempts integer,
  new_priority smallint
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  locked record;
  due timestamptz;
BEGIN
  SELECT (l.target).status, (l.target).partition_id, (l.target).key, (l.target).serial, (l.target).due_at, l.running,
         concat((l.target).revision, '.', (l.target).attempt) AS version
  INTO locked FROM lock_task(task_id) AS l;
  IF locked.status IS NULL OR locked.status <> 'PENDING' THEN
    RETURN lower(locked.status);
  END IF;
  IF locked.running THEN
    RETURN 'running';
  END IF;
  IF locked.version <> ALL (expected) THEN
    RETURN 'changed';
  END IF;
  due := CASE WHEN new_scheduled_at IS NULL THEN locked.due_at
              ELSE greatest(new_scheduled_at, date_trunc('milliseconds', now())) END;
  UPDATE task t
  SET scheduled_at = coalesce(new_scheduled_at, t.scheduled_at), due_at = due, payload = coalesce(new_payload, t.payload),
      policy = CASE WHEN new_max_attempts IS NULL THEN t.policy
                    ELSE coalesce(t.policy, '{}') || jsonb_build_object('maxAttempts', new_max_attempts) END,
      priority = coalesce(new_priority, t.priority), revision = t.revision + 1
  WHERE t.id = task_id;
  IF locked.serial THEN
    PERFORM elect_heads(ARRAY[locked.partition_id], ARRAY[locked.key]);
  END IF;
  IF due <= now() + interval '5 seconds' THEN
    PERFORM notify_task_due(ARRAY[locked.partition_id], due);
  END IF;
  RETURN 'patched';
END $$;
