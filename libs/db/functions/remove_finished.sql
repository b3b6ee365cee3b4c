-- Removes tasks that ended over keep_ms ago, and what is kept of their attempts. Goes on along the primary key where the last
-- call has stopped: past `most` tasks at most, and past the next `span` ids at most, since of tasks that were removed the
-- index keeps traces until a vacuum. Stops before the first task that was created after what is removed ended: none
-- beyond can have ended before it. There it begins anew where it last did so over pass_ms ago, and so finds what had not
-- ended long enough when it was passed by.
--
-- Returns how many tasks it has passed and removed; how long before the cutoff the last of them was created, in ms (null:
-- there was none); and whether no more is to be done for now. All null: another call is at work.
--
-- Locks: the row of retention, for one call at a time; then rows of tasks that have ended, which no claim and no outcome
-- locks. What a user is changing or retrying is left for the next pass; one who comes later waits, and finds it gone.
CREATE OR REPLACE FUNCTION remove_finished(
  keep_ms double precision, pass_ms double precision, span bigint, most integer,
  OUT passed integer, OUT removed integer, OUT to_go_ms double precision, OUT done boolean
) LANGUAGE plpgsql
-- Along the index, however many tasks the ids are thought to be of: anything else would read all of them before the first.
SET enable_bitmapscan = off SET enable_seqscan = off
AS $$
DECLARE
  cutoff CONSTANT timestamptz := now() - keep_ms * interval '1 millisecond';
  walk retention;
  newest bigint;
  upto bigint;
  first_young bigint;
  last_passed bigint;
  with_attempts bigint[];
BEGIN
  SELECT * INTO walk FROM retention FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  SELECT last_value INTO newest FROM task_id_seq;
  upto := least(walk.place + span, newest);

  WITH part AS MATERIALIZED (
    SELECT t.id, t.created_at FROM task t WHERE t.id > walk.place AND t.id <= upto ORDER BY t.id LIMIT most
  )
  SELECT young.id, count(p.id), max(p.id), extract(epoch FROM cutoff - max(p.created_at)) * 1000
  INTO first_young, passed, last_passed, to_go_ms
  FROM (SELECT min(y.id) AS id FROM part y WHERE y.created_at > cutoff) AS young
  LEFT JOIN part p ON p.id < coalesce(young.id, p.id + 1)
  GROUP BY young.id;

  WITH gone AS (
    DELETE FROM task
    WHERE ctid = ANY (ARRAY(
      SELECT t.ctid FROM task t
      WHERE t.id > walk.place AND t.id <= last_passed AND t.status <> 'PENDING' AND t.completed_at <= cutoff
      FOR UPDATE SKIP LOCKED
    ))
    RETURNING id, attempt > 1 OR status <> 'COMPLETED' AS with_attempts
  )
  SELECT count(*), array_agg(g.id) FILTER (WHERE g.with_attempts) INTO removed, with_attempts FROM gone g;
  IF with_attempts IS NOT NULL THEN
    DELETE FROM task_attempt WHERE task_id = ANY (with_attempts);
  END IF;

  done := first_young IS NOT NULL OR passed < most AND upto = newest;
  IF done AND (walk.begun_at > now() OR walk.begun_at <= now() - pass_ms * interval '1 millisecond') THEN
    UPDATE retention SET place = 0, begun_at = now();
    done := false;
  ELSE
    UPDATE retention SET place = p.place
    FROM (SELECT CASE WHEN first_young IS NOT NULL OR passed = most THEN coalesce(last_passed, walk.place)
                      ELSE upto END AS place) AS p
    WHERE retention.place <> p.place;
  END IF;
END $$;
