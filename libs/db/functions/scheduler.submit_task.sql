-- Submits a task from SQL: within an application's own transaction, so that the task is there if and only if that commits, and
-- due then at the earliest. What each argument means, what may be left out and what is refused is as with POST /tasks
-- (apps/scheduler-api/submission.ts); what is refused raises invalid_parameter_value (22023) and says why.
--
--   SELECT scheduler.submit_task('send-mail', '{"to": "x@example.org"}', delay => 'PT15M', key => 'customer-7');
--
-- A serial task puts its line in order as the transaction commits, which therefore has to be READ COMMITTED.
--
-- Returns the task's id. Whoever is to call it needs USAGE of the schema scheduler, and no right to any table: it runs with the
-- rights of its owner. Locks: see insert_tasks.
CREATE OR REPLACE FUNCTION scheduler.submit_task(
  name text, payload jsonb DEFAULT 'null', scheduled_time timestamptz DEFAULT NULL, delay interval DEFAULT NULL,
  key text DEFAULT NULL, priority integer DEFAULT 0, max_attempts integer DEFAULT NULL, backoff jsonb DEFAULT NULL,
  timeout_ms bigint DEFAULT NULL, serial boolean DEFAULT false, tags text[] DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  most_bytes CONSTANT integer := 262144;
  most_delay_ms CONSTANT bigint := 36500 * 86400000::bigint;
  json_text text := coalesce(payload, 'null')::text;
  scheduled_ms bigint;
  delay_ms bigint;
  bytes integer;
  policy jsonb;
  fault text;
  id bigint;
BEGIN
  fault := CASE
    WHEN coalesce(char_length(name), 0) NOT BETWEEN 1 AND 200 THEN 'name must be a string of 1 to 200 characters'
    WHEN char_length(key) NOT BETWEEN 1 AND 200 THEN 'key must be a string of 1 to 200 characters'
    WHEN priority IS NULL OR priority NOT BETWEEN 0 AND 9 THEN 'priority must be a whole number from 0 to 9'
    WHEN max_attempts NOT BETWEEN 1 AND 100 THEN 'max_attempts must be a whole number from 1 to 100'
    WHEN timeout_ms NOT BETWEEN 1 AND 2147483647 THEN 'timeout_ms must be a whole number from 1 to 2147483647'
    WHEN cardinality(tags) > 16 OR array_ndims(tags) > 1 OR cardinality(tags) <> (SELECT count(DISTINCT t) FROM unnest(tags) AS t)
      THEN 'tags must be an array of at most 16 strings that differ'
    WHEN EXISTS (SELECT FROM unnest(tags) AS t WHERE char_length(t) NOT BETWEEN 1 AND 200)
      THEN 'tags must be strings of 1 to 200 characters'
    WHEN serial IS NULL THEN 'serial must be true or false'
    WHEN serial AND key IS NULL THEN 'serial needs a key'
    -- An older snapshot would not show, at the commit, what has become of the line meanwhile.
    WHEN serial AND current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')
      THEN 'serial needs the isolation level READ COMMITTED'
    WHEN scheduled_time IS NOT NULL AND delay IS NOT NULL THEN 'delay must not be given together with scheduled_time'
    WHEN NOT isfinite(scheduled_time) THEN 'scheduled_time must lie in the years 0000 to 9999 UTC'
    -- As it is rounded.
    WHEN epoch_ms(scheduled_time) NOT BETWEEN epoch_ms('0001-01-01 00:00:00+00 BC') AND epoch_ms('9999-12-31 23:59:59.999+00')
      THEN 'scheduled_time must lie in the years 0000 to 9999 UTC'
    WHEN NOT isfinite(delay) THEN 'delay must not be over 36500 days'
    WHEN extract(year FROM delay) <> 0 OR extract(month FROM delay) <> 0
      THEN 'delay must be in weeks, days or less: years and months are of no fixed length'
    WHEN delay < interval '0' THEN 'delay must not be negative'
    WHEN extract(epoch FROM delay) * 1000 > most_delay_ms THEN 'delay must not be over 36500 days'
    WHEN jsonb_typeof(backoff) <> 'object' OR (backoff - '{baseMs,maxMs,factor}'::text[]) <> '{}'
      THEN 'backoff must be an object of baseMs, maxMs and factor'
    -- Of the levels, the outermost is that of the task.
    WHEN jsonb_path_exists(payload, 'strict $.**{99 to last} ? (@.type() == "object" || @.type() == "array")')
      THEN 'payload must not be nested deeper than 100 levels'
    WHEN jsonb_path_exists(payload, 'strict $.** ? (@.type() == "number" && (@ > 1.7976931348623157e308 || @ < -1.7976931348623157e308))')
      THEN 'payload must hold numbers that fit a double'
    WHEN jsonb_path_exists(payload, 'strict $.** ? (exists(@."__proto__"))')
      THEN 'payload must not have a member named __proto__'
  END;
  IF fault IS NULL AND backoff IS NOT NULL THEN
    -- As whoever computes with it would have it.
    backoff := '{"baseMs": 1000, "maxMs": 300000, "factor": 2}' || backoff;
    fault := CASE
      WHEN NOT coalesce(jsonb_path_exists(backoff, '$.baseMs ? (@.type() == "number" && @ >= 0 && @ <= 604800000 && @.floor() == @)'), false)
        THEN 'backoff.baseMs must be a whole number from 0 to 604800000'
      WHEN NOT coalesce(jsonb_path_exists(backoff, '$.maxMs ? (@.type() == "number" && @ >= 0 && @ <= 604800000 && @.floor() == @)'), false)
        THEN 'backoff.maxMs must be a whole number from 0 to 604800000'
      WHEN NOT coalesce(jsonb_path_exists(backoff, '$.factor ? (@.type() == "number" && @ >= 1 && @ <= 10)'), false)
        THEN 'backoff.factor must be a number from 1 to 10'
    END;
  END IF;
  IF fault IS NULL AND octet_length(json_text) > most_bytes THEN
    -- As compact JSON: without the spaces that stand after commas and colons here, which are none of a string's.
    bytes := octet_length(json_text)
             - (SELECT length(bare) - length(replace(bare, ' ', ''))
                FROM regexp_replace(json_text, '"(?:[^"\\]|\\.)*"', '""', 'g') AS bare);
    IF bytes > most_bytes THEN
      fault := format('payload is %s bytes of JSON, over the limit of %s', bytes, most_bytes);
    END IF;
  END IF;
  IF fault IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = fault;
  END IF;

  scheduled_ms := epoch_ms(scheduled_time);
  delay_ms := ceil(extract(epoch FROM delay) * 1000);
  policy := jsonb_strip_nulls(jsonb_build_object('maxAttempts', max_attempts, 'backoff', backoff, 'timeoutMs', timeout_ms));
  SELECT t.ids[1] INTO id
  FROM insert_tasks(
    ARRAY[name], ARRAY[key], ARRAY[json_text], array_remove(ARRAY[scheduled_ms], NULL), array_remove(ARRAY[delay_ms], NULL),
    array_remove(ARRAY[nullif(jsonb_strip_nulls(jsonb_build_object(
      'policy', nullif(policy, '{}'), 'priority', nullif(priority, 0), 'tags', tags, 'serial', nullif(serial, false)
    )), '{}')::text], NULL),
    0, '{}', '{}', lines_at_commit => true
  ) AS t;
  IF id IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'cluster-init has not recorded this cluster yet';
  END IF;
  RETURN id;
END $$;

-- Whatever the caller's own path, and no temporary table of his in place of one of ours.
DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION scheduler.submit_task SET search_path = %I, pg_temp', current_schema());
END $$;
