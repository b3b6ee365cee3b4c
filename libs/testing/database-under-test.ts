import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { bootstrapDatabase } from '../db/bootstrap.ts';
import { createPool, workerApplicationName } from '../db/client.ts';
import type { Database } from '../db/client.ts';
import { postgresExecutionStore } from '../db/postgres-execution-store.ts';
import { postgresOwnershipStore } from '../db/postgres-ownership-store.ts';
import { postgresTaskStore } from '../db/postgres-task-store.ts';
import type {
  AttemptEnd,
  Beyond,
  ClaimedTask,
  ClaimRecord,
  ClaimResult,
  ExecutionStore,
  Held,
  NewTask,
  Outcome,
  OutcomeResult,
  OwnershipStore,
  StoredTask,
  TaskStore,
} from '../db/stores.ts';
import { eventually } from './eventually.ts';
import { createTestDatabase } from './postgres.ts';
import type { TestDatabase } from './postgres.ts';

const LEASE_MS = 60_000;
/** All partitions that a database under test may have. */
export const EVERYWHERE = Array.from({ length: 64 }, (_, partition) => ({ partition }));

/** A worker as the database sees it: one process, one incarnation, and what it holds. */
export class WorkerUnderTest {
  readonly id: string;
  readonly incarnation: string;
  readonly applicationName: string;
  readonly ownership: OwnershipStore;
  readonly execution: ExecutionStore;
  held: Held[] = [];

  constructor(id: string, incarnation: string, applicationName: string, db: Database) {
    this.id = id;
    this.incarnation = incarnation;
    this.applicationName = applicationName;
    this.ownership = postgresOwnershipStore({ db });
    this.execution = postgresExecutionStore({ db });
  }

  async own(partitions: readonly number[], epoch: number, lockTimeoutMs = 10_000): Promise<number[]> {
    const grants = partitions.map((partition) => ({ partition, epoch }));
    const { id: workerId, incarnation } = this;
    const { owned } = await this.ownership.acquire({ workerId, incarnation, grants, lockTimeoutMs });
    this.held = owned.map((part) => ({ ...part, incarnation }));
    return owned.map(({ partition }) => partition);
  }

  claim(limit = 100, held: readonly (Held & Beyond)[] = this.held): Promise<ClaimResult> {
    return this.execution.claim({ claimId: randomUUID(), workerId: this.id, held, limit });
  }

  outcome(task: ClaimedTask, end: AttemptEnd = { kind: 'COMPLETED' }): Outcome {
    return { ...task, workerId: this.id, end };
  }

  /** Records how `tasks` ended; `settled` are the records that go with it, by default all of theirs. */
  finish(
    tasks: readonly ClaimedTask[],
    end: AttemptEnd = { kind: 'COMPLETED' },
    settled: readonly ClaimRecord[] = tasks,
  ): Promise<OutcomeResult[]> {
    return this.execution.finish(
      tasks.map((task) => this.outcome(task, end)),
      settled,
    );
  }
}

/** A connection in a transaction that the test ends when it likes: a statement held open. */
export interface OpenTransaction {
  readonly worker: WorkerUnderTest;
  readonly tasks: TaskStore;
  readonly client: pg.Client;
  commit(): Promise<void>;
  rollback(): Promise<void>;
}

/** A database with a cluster in it, its stores, and the means to bring statements into a given order. */
export class DatabaseUnderTest {
  readonly url: string;
  /** For looking on, and for setting the scene. */
  readonly pool: pg.Pool;
  readonly tasks: TaskStore;
  readonly #database: TestDatabase;
  readonly #pools: pg.Pool[] = [];
  readonly #openTransactions: pg.Client[] = [];

  private constructor(database: TestDatabase) {
    this.#database = database;
    this.url = database.url;
    this.pool = this.#openPool('test');
    this.tasks = postgresTaskStore({ db: this.pool });
  }

  static async start({ partitions = 4 } = {}): Promise<DatabaseUnderTest> {
    const database = await createTestDatabase();
    await bootstrapDatabase({ url: database.url, uid: 'uid-1', partitions });
    return new DatabaseUnderTest(database);
  }

  /** On `database`, in which cluster-init has been, and which is dropped at the end. */
  static on(database: TestDatabase): DatabaseUnderTest {
    return new DatabaseUnderTest(database);
  }

  async close(): Promise<void> {
    await this.endTransactions();
    for (const pool of this.#pools) await pool.end();
    await this.#database.drop();
  }

  /** Ends what a test has left open, so that one that failed does not hold up the next. */
  async endTransactions(): Promise<void> {
    for (const client of this.#openTransactions.splice(0)) await client.end().catch(() => undefined);
  }

  /** A worker with a lease that it has renewed for an hour, which owns nothing yet. */
  async worker(id: string, incarnation = `${id}-${randomUUID()}`): Promise<WorkerUnderTest> {
    const applicationName = workerApplicationName(randomUUID());
    const worker = new WorkerUnderTest(id, incarnation, applicationName, this.#openPool(applicationName));
    await worker.ownership.renew(id, [incarnation], LEASE_MS);
    await this.pool.query(
      `UPDATE worker_session SET unbroken_since = now() - interval '1 hour' WHERE incarnation = $1`,
      [incarnation],
    );
    return worker;
  }

  /** `worker` once more, on a connection in a transaction of its own. */
  async begin(worker: WorkerUnderTest): Promise<OpenTransaction> {
    const client = new pg.Client({ connectionString: this.url, application_name: worker.applicationName });
    client.on('error', () => undefined);
    await client.connect();
    this.#openTransactions.push(client);
    await client.query('BEGIN');
    const inside = new WorkerUnderTest(worker.id, worker.incarnation, worker.applicationName, client);
    inside.held = worker.held;
    return {
      worker: inside,
      tasks: postgresTaskStore({ db: client }),
      client,
      async commit() {
        await client.query('COMMIT');
      },
      async rollback() {
        await client.query('ROLLBACK');
      },
    };
  }

  /** Resolves when a connection of `worker` waits for a lock. */
  async blocked({ applicationName }: { readonly applicationName: string }): Promise<void> {
    await eventually(
      `${applicationName} waits for a lock`,
      async () => {
        const { rowCount } = await this.pool.query(
          `SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'`,
          [applicationName],
        );
        return rowCount !== 0;
      },
      { withinMs: 10_000, everyMs: 5 },
    );
  }

  /** Inserts one task a name, due now unless told otherwise, all in `partition` if given. */
  async submit(
    names: readonly string[],
    task: Partial<NewTask> & { partition?: number } = {},
  ): Promise<StoredTask[]> {
    const { partition, ...given } = task;
    const records = await this.tasks.insert(
      names.map((name) => ({ name, key: null, payload: null, scheduledAtMs: null, ...given })),
    );
    if (partition === undefined) return records;
    await this.pool.query('UPDATE task SET partition_id = $1 WHERE id = ANY ($2)', [
      partition,
      records.map(({ id }) => id),
    ]);
    return records.map((record) => ({ ...record, partitionId: partition }));
  }

  async submitOne(task: Partial<NewTask> & { partition?: number } = {}): Promise<StoredTask> {
    const [record] = await this.submit([task.name ?? 'task'], task);
    if (record === undefined) throw new Error('nothing was inserted');
    return record;
  }

  /** Away with all tasks and what runs. */
  async clear(): Promise<void> {
    await this.endTransactions();
    await this.pool.query('DELETE FROM claim_record; DELETE FROM task');
  }

  /** How many tasks each record names, in each partition where there is one. */
  async records(): Promise<Record<number, number[]>> {
    const { rows } = await this.pool.query<{ partition: number; sizes: number[] }>(
      `SELECT partition_id AS partition, array_agg(cardinality(task_ids) ORDER BY id) AS sizes
       FROM claim_record GROUP BY partition_id`,
    );
    return Object.fromEntries(rows.map(({ partition, sizes }) => [partition, sizes]));
  }

  /** Ends the lease of `worker`, as if it had not been renewed in time. */
  async expireLease({ incarnation }: WorkerUnderTest): Promise<void> {
    await this.pool.query(
      `UPDATE worker_session SET expires_at = now() - interval '1 s' WHERE incarnation = $1`,
      [incarnation],
    );
  }

  /** The task as readers see it. */
  async row(id: number): Promise<Record<string, unknown> | undefined> {
    const { rows } = await this.pool.query<Record<string, unknown>>(
      'SELECT * FROM task_state WHERE id = $1',
      [id],
    );
    return rows[0];
  }

  #openPool(applicationName: string): pg.Pool {
    const pool = createPool({ url: this.url, applicationName, size: 4 });
    this.#pools.push(pool);
    return pool;
  }
}
