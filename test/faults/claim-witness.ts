import pg from 'pg';

/** What the witness writes down; tables and functions of the tests, beside the product's in its database. */
const INSTALL = `
CREATE TABLE witnessed (at timestamptz NOT NULL DEFAULT clock_timestamp(), what text NOT NULL);

CREATE FUNCTION witness_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.epoch < OLD.epoch THEN
    INSERT INTO witnessed (what) VALUES (format('partition %s: epoch %s after %s', NEW.partition_id, NEW.epoch, OLD.epoch));
  END IF;
  IF NEW.epoch = OLD.epoch AND NEW.owner IS NOT NULL AND NEW.incarnation IS DISTINCT FROM OLD.incarnation THEN
    INSERT INTO witnessed (what) VALUES (format('partition %s: two incarnations at epoch %s', NEW.partition_id, NEW.epoch));
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER witness_owner AFTER UPDATE ON partition_owner FOR EACH ROW EXECUTE FUNCTION witness_owner();

-- Deferred to the commit: an epoch that was raised by then is one the claim has not waited for.
CREATE FUNCTION witness_claim() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  standing partition_owner;
  twice bigint[];
  out_of_turn text;
BEGIN
  SELECT * INTO standing FROM partition_owner WHERE partition_id = NEW.partition_id;
  IF standing.epoch <> NEW.epoch OR standing.incarnation IS DISTINCT FROM NEW.incarnation THEN
    INSERT INTO witnessed (what) VALUES (format('partition %s: %s claimed by %s under epoch %s, while %s stood at %s',
      NEW.partition_id, NEW.task_ids, NEW.incarnation, NEW.epoch, standing.incarnation, standing.epoch));
  END IF;
  SELECT array_agg(n.id) INTO twice
  FROM unnest(NEW.task_ids, NEW.attempts) AS n (id, attempt)
  JOIN (claim_record c CROSS JOIN LATERAL unnest(c.task_ids, c.attempts) AS r (id, attempt))
    ON r.id = n.id AND r.attempt = n.attempt
  WHERE c.partition_id = NEW.partition_id AND c.id <> NEW.id;
  IF twice IS NOT NULL THEN
    INSERT INTO witnessed (what) VALUES (format('partition %s: %s claimed by %s, and by another before',
      NEW.partition_id, twice, NEW.incarnation));
  END IF;
  SELECT string_agg(format('%s before %s', s.id, o.id), ', ') INTO out_of_turn
  FROM task s
  JOIN task o ON o.partition_id = s.partition_id AND o.key = s.key AND o.serial AND o.status = 'PENDING' AND o.id <> s.id
  WHERE s.id = ANY (NEW.task_ids) AND s.serial
    AND ((o.scheduled_at, o.id) < (s.scheduled_at, s.id)
         OR EXISTS (SELECT FROM claim_record c WHERE c.partition_id = o.partition_id
                    AND c.attempts[array_position(c.task_ids, o.id)] = o.attempt + 1));
  IF out_of_turn IS NOT NULL THEN
    INSERT INTO witnessed (what) VALUES (format('partition %s: %s in one line', NEW.partition_id, out_of_turn));
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER witness_claim AFTER INSERT ON claim_record DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION witness_claim();

-- As an attempt ends: once, and only one that has been claimed is the next.
CREATE FUNCTION witness_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.attempt <> OLD.attempt + 1 THEN
    INSERT INTO witnessed (what) VALUES (format('task %s: attempt %s after %s', NEW.id, NEW.attempt, OLD.attempt));
  END IF;
  IF OLD.status <> 'PENDING' THEN
    INSERT INTO witnessed (what) VALUES (format('task %s: attempt %s ended after it was %s', NEW.id, NEW.attempt, OLD.status));
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER witness_attempt AFTER UPDATE ON task FOR EACH ROW
  WHEN (NEW.attempt <> OLD.attempt OR NEW.status <> OLD.status) EXECUTE FUNCTION witness_attempt();
`;

/**
 * Sees every change of an owner, every claim and every end of an attempt from within their transactions, and writes
 * down what must not be: an epoch that shrinks or has two owners, a claim that commits under an epoch that does not
 * stand, an attempt claimed by two or ended twice, a serial task claimed out of turn.
 */
export class ClaimWitness {
  readonly #client: pg.Client;

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  /** @param databaseUrl of a cluster that has been initialised */
  static async install(databaseUrl: string): Promise<ClaimWitness> {
    const client = new pg.Client({ connectionString: databaseUrl, application_name: 'witness' });
    client.on('error', () => undefined);
    await client.connect();
    await client.query(INSTALL);
    return new ClaimWitness(client);
  }

  /** What ought not to have happened. */
  async violations(): Promise<string[]> {
    const { rows } = await this.#client.query<{ what: string }>('SELECT what FROM witnessed ORDER BY at');
    return rows.map(({ what }) => what);
  }

  /** What the test itself does to the database. */
  async query(sql: string): Promise<void> {
    await this.#client.query(sql);
  }

  close(): Promise<void> {
    return this.#client.end();
  }
}
