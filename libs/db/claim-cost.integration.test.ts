import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DatabaseUnderTest } from '../testing/database-under-test.ts';
import type { WorkerUnderTest } from '../testing/database-under-test.ts';
import { createPool } from './client.ts';
import { loadStatement } from './statement.ts';

const PARTITIONS = 64;
const DUE = 100;
/** A million of each in `npm run test:full`. */
const MANY = Number(process.env['CLAIM_COST_ROWS'] ?? 100_000);

interface Plan {
  readonly 'Shared Hit Blocks': number;
  readonly 'Shared Read Blocks': number;
}

/** A worker that owns all of a cluster in which tasks are due, and others are stored beside them. */
class Backlog {
  readonly database: DatabaseUnderTest;
  readonly #worker: WorkerUnderTest;
  /** With the settings of the product's connections. */
  readonly #connection: ReturnType<typeof createPool>;

  private constructor(database: DatabaseUnderTest, worker: WorkerUnderTest) {
    this.database = database;
    this.#worker = worker;
    this.#connection = createPool({ url: database.url, applicationName: 'cost', size: 1 });
  }

  /** @param beside.urgent of the future, each at one of nine priorities */
  static async of(beside: { future: number; finished: number; urgent?: number }): Promise<Backlog> {
    const database = await DatabaseUnderTest.start({ partitions: PARTITIONS });
    const worker = await database.worker('w');
    await worker.own(
      Array.from({ length: PARTITIONS }, (_, partition) => partition),
      1,
    );
    await database.pool.query(
      `INSERT INTO task (partition_id, name, payload, priority, scheduled_at, due_at)
       SELECT n % $3, 'future', '{}', CASE WHEN n <= $2::integer THEN 1 + n % 9 ELSE 0 END, t, t
       FROM (SELECT n, now() + interval '1 day' + n * interval '1 second' AS t FROM generate_series(1, $1::integer + $2::integer) AS n) AS f`,
      [beside.future, beside.urgent ?? 0, PARTITIONS],
    );
    await database.pool.query(
      `INSERT INTO task (partition_id, status, attempt, name, payload, scheduled_at, due_at, started_at, completed_at)
       SELECT n % $2, 'COMPLETED', 1, 'finished', '{}', t, t, t, t
       FROM (SELECT n, now() - n * interval '1 second' AS t FROM generate_series(1, $1) AS n) AS f`,
      [beside.finished, PARTITIONS],
    );
    await database.pool.query(
      `INSERT INTO task (partition_id, name, payload, scheduled_at, due_at)
       SELECT n % $2, 'due', '{}', now(), now() FROM generate_series(1, $1) AS n`,
      [DUE, PARTITIONS],
    );
    await database.pool.query('VACUUM ANALYZE');
    return new Backlog(database, worker);
  }

  async close(): Promise<void> {
    await this.#connection.end();
    await this.database.close();
  }

  /** Pages read by a claim of all that is due. @param oldestRecord below which no record stands */
  claim(oldestRecord: number | null = null): Promise<number> {
    const { partitions, epochs, incarnations, none } = this.#held();
    const from = partitions.map(() => oldestRecord);
    const args = [partitions, epochs, incarnations, none, none, from, randomUUID(), 'w', 500, [], false];
    return this.#cost('claim-tasks', args);
  }

  peek(oldestRecord: number | null = null): Promise<number> {
    const { partitions, none } = this.#held();
    return this.#cost('peek-due', [
      partitions,
      none,
      none,
      partitions.map(() => oldestRecord),
      60_000,
      [],
      [],
      false,
    ]);
  }

  /** Makes and removes so many records, of which nothing but their traces is left. @returns an id above theirs */
  async passRecords(count: number): Promise<number> {
    await this.database.pool.query(
      `INSERT INTO claim_record (partition_id, id, claim_id, incarnation, worker_id, epoch, task_ids, attempts)
       SELECT n % $2, n, gen_random_uuid(), 'gone', 'gone', 1, '{1}', '{1}' FROM generate_series(1, $1) AS n`,
      [count, PARTITIONS],
    );
    await this.database.pool.query('DELETE FROM claim_record');
    // Which sees that there is none, so that to read all of them seems to cost nothing.
    await this.database.pool.query('ANALYZE claim_record');
    return count + 1;
  }

  /** Of all that is due, which has been claimed. */
  async finish(): Promise<number> {
    const { tasks } = await this.#worker.claim(500);
    expect(tasks).toHaveLength(DUE);
    const records = [...new Set(tasks.map(({ partition }) => partition))];
    return this.#cost('finish-tasks', [
      records,
      records.map(() => tasks[0]?.record),
      tasks.map(({ id }) => id),
      tasks.map(({ attempt }) => attempt),
      tasks.map(({ epoch }) => epoch),
      tasks.map(({ claimedAtMs }) => claimedAtMs),
      tasks[0]?.incarnation,
      'w',
      ...[[], [], [], [], []],
    ]);
  }

  #held() {
    const { held } = this.#worker;
    return {
      partitions: held.map(({ partition }) => partition),
      epochs: held.map(({ epoch }) => epoch),
      incarnations: held.map(({ incarnation }) => incarnation),
      none: held.map(() => null),
    };
  }

  /** After so many calls that each statement within has the plan it stays with. None of them changes anything. */
  async #cost(statement: string, args: unknown[]): Promise<number> {
    const { text } = loadStatement(statement);
    for (let call = 1; call < 8; call++) await this.#undone(text, args);
    const [row] = await this.#undone<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
      `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`,
      args,
    );
    if (row === undefined) throw new Error('no plan');
    const { Plan: plan } = row['QUERY PLAN'][0];
    return plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
  }

  async #undone<Row extends object>(text: string, args: unknown[]): Promise<Row[]> {
    await this.#connection.query('BEGIN');
    try {
      return (await this.#connection.query<Row>(text, args)).rows;
    } finally {
      await this.#connection.query('ROLLBACK');
    }
  }
}

describe('the pages that a statement reads', () => {
  let alone: Backlog;
  let beside: Backlog;
  beforeAll(async () => {
    alone = await Backlog.of({ future: 0, finished: 0 });
    beside = await Backlog.of({ future: MANY, finished: MANY });
  });
  afterAll(async () => {
    await alone.close();
    await beside.close();
  });

  it.each(['claim', 'peek', 'finish'] as const)(
    'do not grow with what is due later or has ended: %s',
    async (of) => {
      const few = await alone[of]();
      const many = await beside[of]();
      expect(few).toBeLessThan(12 * DUE);
      // Their indexes are deeper, and that is all: the table has thousands of pages of those others.
      expect(many).toBeLessThan(2 * few + PARTITIONS);
    },
  );

  it.each(['claim', 'peek'] as const)('nor with what is urgent and due later: %s', async (of) => {
    const some = await Backlog.of({ future: 0, finished: 0, urgent: MANY / 10 });
    const many = await Backlog.of({ future: 0, finished: 0, urgent: MANY });
    try {
      const few = await some[of]();
      // Each of nine priorities is looked for in each partition, by an index of two levels to four; each has 1,700 entries of a million.
      const looks = 9 * PARTITIONS;
      expect(few).toBeLessThan(12 * DUE + 4 * looks);
      expect(await many[of]()).toBeLessThan(few + 3 * looks);
    } finally {
      await some.close();
      await many.close();
    }
  });

  it('do not grow with the records that were, either, while somebody holds a transaction', async () => {
    const before = await Backlog.of({ future: 0, finished: 0 });
    const holder = await before.database.begin(await before.database.worker('holder'));
    try {
      await holder.client.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
      await holder.client.query('SELECT count(*) FROM task');
      const [claim, peek] = [await before.claim(), await before.peek()];
      const oldest = await before.passRecords(50_000);
      expect(await before.claim(oldest)).toBeLessThan(2 * claim + PARTITIONS);
      expect(await before.peek(oldest)).toBeLessThan(2 * peek + PARTITIONS);
      // Otherwise they do.
      expect(await before.claim(null)).toBeGreaterThan(2 * claim + PARTITIONS);
      expect(await before.finish()).toBeLessThan(12 * DUE);
    } finally {
      await before.close();
    }
  });
});
