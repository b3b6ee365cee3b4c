-- How long a task waits, in ms, whose attempt ended with its worker; null: it has failed for good. afterLoss() and backoffMs()
-- of libs/core. failures: those before this one; jitter in [0, 1).
CREATE OR REPLACE FUNCTION recovery_delay_ms(policy jsonb, failures integer, jitter double precision)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN failures + 1 >= (policy ->> 'maxAttempts')::integer THEN NULL
  WHEN failures = 0 THEN 0
  ELSE floor(jitter * least((policy #>> '{backoff,maxMs}')::double precision,
                            (policy #>> '{backoff,baseMs}')::double precision
                              * power((policy #>> '{backoff,factor}')::double precision, least(failures, 52))))
END;
