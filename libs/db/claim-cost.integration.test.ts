import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_POLICY } from '../core/task.ts';
import { DatabaseUnderTest } from '../testing/database-under-test.ts';
import type { OpenTransaction, WorkerUnderTest } from '../testing/database-under-test.ts';
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
  #worker: WorkerUnderTest;
  /** With the settings of the product's connections. */
  readonly #connection: ReturnType<typeof createPool>;
  #tasks: Awaited<ReturnType<WorkerUnderTest['claim']>>['tasks'] = [];

  private constructor(database: DatabaseUnderTest, worker: WorkerUnderTest) {
    this.database = database;
    this.#worker = worker;
    this.#connection = createPool({ url: database.url, applicationName: 'cost', size: 1 });
  }

  /**
   * @param beside.urgent of the future, each at one of nine priorities
   * @param beside.analyzed whether the planner has seen them
   */
  static async of(beside: {
    future: number;
    finished: number;
    urgent?: number;
    analyzed?: boolean;
  }): Promise<Backlog> {
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
    if (beside.analyzed !== false) await database.pool.query('VACUUM ANALYZE');
    return new Backlog(database, worker);
  }

  async close(): Promise<void> {
    await this.#connection.end();
    await this.database.close();
  }

  /**
   * Pages read by a claim of all that is due. @param oldestRecord below which no record stands
   * @param afterMs how far claims have got
   */
  claim(oldestRecord: number | null = null, afterMs: number | null = null): Promise<number> {
    const { partitions, epochs, incarnations, all } = this.#held();
    const beyond = [all(afterMs), all(null), all(oldestRecord)];
    const args = [partitions, epochs, incarnations, ...beyond, randomUUID(), 'w', 500, [], false];
    return this.#cost('claim-tasks', args);
  }

  peek(oldestRecord: number | null = null, afterMs: number | null = null): Promise<number> {
    const { partitions, all } = this.#held();
    const beyond = [all(afterMs), all(null), all(oldestRecord)];
    return this.#cost('peek-due', [partitions, ...beyond, 60_000, [], [], false]);
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

  /** Stores so many that are due and have each end, and has an ANALYZE see that. @returns the time after that, in ms */
  async pass(count: number): Promise<number> {
    await this.database.pool.query(
      `INSERT INTO task (partition_id, name, payload, scheduled_at, due_at)
       SELECT n % $2, 'passed', '{}', now(), now() FROM generate_series(1, $1) AS n`,
      [count, PARTITIONS],
    );
    await this.database.pool.query(
      `UPDATE task SET status = 'COMPLETED', attempt = 1, started_at = now(), completed_at = now() WHERE name = 'passed'`,
    );
    await this.database.pool.query('VACUUM ANALYZE task');
    const { rows } = await this.database.pool.query<{ ms: number }>(
      'SELECT ceil(extract(epoch FROM clock_timestamp()) * 1000)::double precision AS ms',
    );
    return rows[0]?.ms ?? NaN;
  }

  /** One attempt runs, of the worker that made those records, whose lease stands. @param record above theirs */
  async runOthers(record: number): Promise<void> {
    await this.database.worker('gone', 'gone');
    await this.database.pool.query(
      `INSERT INTO claim_record (partition_id, id, claim_id, incarnation, worker_id, epoch, task_ids, attempts)
       VALUES (0, $1, gen_random_uuid(), 'gone', 'gone', 1, '{0}', '{1}')`,
      [record],
    );
  }

  /** Removes all tasks, and has an ANALYZE see that, while somebody holds a transaction. */
  async startAnew(): Promise<void> {
    const { client } = await this.hold();
    await this.database.pool.query('ALTER TABLE task SET (autovacuum_enabled = off)');
    await this.database.pool.query('DELETE FROM task');
    await this.database.pool.query('VACUUM ANALYZE task');
    await client.query('ROLLBACK');
  }

  /** A transaction whose snapshot keeps what is removed from now on from being cleared away. */
  async hold(): Promise<OpenTransaction> {
    const holder = await this.database.begin(await this.database.worker('holder'));
    await holder.client.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    await holder.client.query('SELECT count(*) FROM task');
    return holder;
  }

  /** Stores so many that are due in a day, and some that are due. */
  async store(future: number): Promise<void> {
    await this.database.pool.query(
      `INSERT INTO task (partition_id, name, payload, scheduled_at, due_at)
       SELECT n % $3, 'due', '{}', t, t
       FROM (SELECT n, CASE WHEN n > $2 THEN now() + interval '1 day' ELSE now() END AS t
             FROM generate_series(1, $1::integer + $2::integer) AS n) AS f`,
      [future, DUE, PARTITIONS],
    );
  }

  /** Claims all that is due, of which the following are. */
  async claimed(): Promise<void> {
    this.#tasks = (await this.#worker.claim(500)).tasks;
    expect(this.#tasks).toHaveLength(DUE);
  }

  /** @param kind null: all have completed */
  finish(kind: 'RETRY' | null = null): Promise<number> {
    const records = [...new Set(this.#tasks.map(({ partition }) => partition))];
    const how = kind === null ? [[], []] : [this.#tasks.map(() => kind), this.#tasks.map(() => 60_000)];
    return this.#cost('finish-tasks', [
      records,
      records.map(() => this.#tasks[0]?.record),
      ...this.#attempts(),
      this.#tasks.map(({ epoch }) => epoch),
      this.#tasks.map(({ claimedAtMs }) => claimedAtMs),
      this.#tasks[0]?.incarnation,
      'w',
      ...how,
      ...[[], [], []],
    ]);
  }

  fail(): Promise<number> {
    return this.finish('RETRY');
  }

  /** @param oldestRecord below which no record stands */
  running(oldestRecord: number | null = null): Promise<number> {
    const { partitions, incarnations } = this.#held();
    return this.#cost('running-tasks', [[incarnations[0]], partitions, partitions.map(() => oldestRecord)]);
  }

  payloads(): Promise<number> {
    return this.#cost('task-payloads', [...this.#attempts(), ...this.#claims()]);
  }

  progress(): Promise<number> {
    const told = [this.#tasks.map(() => 0.5), this.#tasks.map(() => 'half')];
    return this.#cost('report-progress', [...this.#attempts(), ...this.#claims(), ...told]);
  }

  /** By another worker, that has been given all partitions as this one's lease has ended, and is asked from now on. */
  async recover(): Promise<number> {
    const [worker, { partitions }] = [this.#worker, this.#held()];
    this.#worker = await this.database.worker(`after ${worker.id}`);
    await this.#worker.own(partitions, (worker.held[0]?.epoch ?? 0) + 1);
    await this.database.pool.query(
      `UPDATE worker_session SET unbroken_since = now() - interval '1 hour',
              expires_at = CASE WHEN incarnation = $1 THEN now() - interval '1 second' ELSE expires_at END`,
      [worker.held[0]?.incarnation],
    );
    return this.recoverOwn(null);
  }

  /** @param oldestRecord below which no record stands */
  recoverOwn(oldestRecord: number | null): Promise<number> {
    const { partitions, epochs, incarnations } = this.#held();
    const from = partitions.map(() => oldestRecord);
    const args = [partitions, epochs, incarnations, 1_000, 0.5, DEFAULT_POLICY, [incarnations[0]], from];
    return this.#cost('recover-tasks', args);
  }

  #attempts() {
    return [this.#tasks.map(({ id }) => id), this.#tasks.map(({ attempt }) => attempt)];
  }

  #claims() {
    return [
      this.#tasks.map(({ incarnation }) => incarnation),
      this.#tasks.map(({ partition }) => partition),
      this.#tasks.map(({ record }) => record),
    ];
  }

  #held() {
    const { held } = this.#worker;
    return {
      partitions: held.map(({ partition }) => partition),
      epochs: held.map(({ epoch }) => epoch),
      incarnations: held.map(({ incarnation }) => incarnation),
      all: (value: number | null) => held.map(() => value),
    };
  }

  /** By the plan that the product's connections have of the prepared statement, and not for the first time. Nothing is changed. */
  async #cost(statement: string, args: readonly unknown[]): Promise<number> {
    const client = await this.#connection.connect();
    try {
      await client.query(`PREPARE it AS ${loadStatement(statement).text}`);
      const execute = `EXECUTE it(${args.map(literal).join(', ')})`;
      for (let call = 1; call < 4; call++) await undone(client, execute);
      const [row] = await undone<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
        client,
        `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${execute}`,
      );
      if (row === undefined) throw new Error('no plan');
      const { Plan: plan } = row['QUERY PLAN'][0];
      return plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
    } finally {
      await client.query('DEALLOCATE it');
      client.release();
    }
  }
}

async function undone<Row extends object>(client: pg.PoolClient, text: string): Promise<Row[]> {
  await client.query('BEGIN');
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.query('ROLLBACK');
  }
}

/** `value` as SQL has it: EXECUTE takes no parameters of its own. */
function literal(value: unknown): string {
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value))
    return pg.escapeLiteral(`{${value.map((element) => JSON.stringify(element)).join()}}`);
  return pg.escapeLiteral(typeof value === 'string' ? value : JSON.stringify(value));
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
      if (of === 'finish') await Promise.all([alone.claimed(), beside.claimed()]);
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
    try {
      await before.hold();
      const [claim, peek] = [await before.claim(), await before.peek()];
      const [recover, running] = [await before.recoverOwn(null), await before.running()];
      const oldest = await before.passRecords(50_000);
      expect(await before.claim(oldest)).toBeLessThan(2 * claim + PARTITIONS);
      expect(await before.peek(oldest)).toBeLessThan(2 * peek + PARTITIONS);
      expect(await before.recoverOwn(oldest)).toBeLessThan(2 * recover + PARTITIONS);
      expect(await before.running(oldest)).toBeLessThan(2 * running + PARTITIONS);
      // Otherwise they do.
      expect(await before.claim(null)).toBeGreaterThan(2 * claim + PARTITIONS);
      expect(await before.recoverOwn(null)).toBeGreaterThan(2 * recover + PARTITIONS);
      expect(await before.running(null)).toBeGreaterThan(2 * running + PARTITIONS);
      await before.runOthers(oldest);
      expect(await before.recoverOwn(oldest)).toBeLessThan(recover + 8 * PARTITIONS);
      await before.claimed();
      // A record for each partition, by an index that is a level deeper.
      expect(await before.finish()).toBeLessThan(12 * DUE + 2 * PARTITIONS);
    } finally {
      await before.close();
    }
  });

  it.each(['peek', 'claim'] as const)(
    'nor with what has ended, beyond which claims have got, while somebody holds a transaction: %s',
    async (of) => {
      const backlog = await Backlog.of({ future: 0, finished: 0, urgent: 9 });
      try {
        await backlog.hold();
        const few = await backlog[of](null, await backlog.pass(1_000));
        const many = await backlog[of](null, await backlog.pass(MANY));
        expect(many).toBeLessThan(2 * few + PARTITIONS);
      } finally {
        await backlog.close();
      }
    },
  );

  it('nor with tasks that have come since an ANALYZE saw none', async () => {
    const backlog = await Backlog.of({ future: 0, finished: 20_000, analyzed: false });
    const costs = async (future: number) => {
      await backlog.store(future);
      await backlog.claimed();
      return {
        finish: await backlog.finish(),
        fail: await backlog.fail(),
        running: await backlog.running(),
        payloads: await backlog.payloads(),
        progress: await backlog.progress(),
        recover: await backlog.recover(),
      };
    };
    try {
      await backlog.startAnew();
      const few = await costs(0);
      const many = await costs(MANY);
      // A hundred thousand tasks and their ids are on 1,700 pages, a million on ten times as many; but its indexes have a level more.
      const more = (MANY > 100_000 ? 20 : 10) * DUE;
      for (const [of, pages] of Object.entries(few)) {
        // Those of before are recovered a second time.
        const atMost = (of === 'recover' ? 2 : 1) * pages + more;
        expect.soft(many[of as keyof typeof few], of).toBeLessThan(atMost);
      }
    } finally {
      await backlog.close();
    }
  });
});
