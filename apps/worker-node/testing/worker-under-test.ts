import type { Clock } from '../../../libs/core/clock.ts';
import { bootstrapDatabase } from '../../../libs/db/bootstrap.ts';
import { createPool, workerApplicationName } from '../../../libs/db/client.ts';
import { postgresExecutionStore } from '../../../libs/db/postgres-execution-store.ts';
import { postgresOwnershipStore } from '../../../libs/db/postgres-ownership-store.ts';
import { postgresTaskStore } from '../../../libs/db/postgres-task-store.ts';
import { StoreUnavailableError } from '../../../libs/db/stores.ts';
import type {
  ExecutionStore,
  Held,
  NewTask,
  OwnershipStore,
  PartitionEpoch,
  StoredTask,
  TaskRecord,
  TaskStore,
} from '../../../libs/db/stores.ts';
import { partitionOf } from '../../../libs/core/partition.ts';
import { systemClock, systemRandom } from '../../../libs/runtime/system.ts';
import { eventually } from '../../../libs/testing/eventually.ts';
import { keptLog } from '../../../libs/testing/kept-log.ts';
import { createTestDatabase } from '../../../libs/testing/postgres.ts';
import type { Handler } from '../handlers/handler.ts';
import type { Keeper, KeeperListener } from '../keeper/keeper.ts';
import { Worker } from '../worker.ts';

export const LEASE_MS = 2_000;

/** One database, and workers in this process that a test gives partitions to, without ZooKeeper. */
export class Workbench {
  readonly tasks: TaskStore;
  readonly ownership: OwnershipStore;
  readonly execution: ExecutionStore;
  /** For connections that a test makes by a way of its own. */
  readonly url: string;
  readonly #partitions: number;
  readonly #pool: ReturnType<typeof createPool>;
  readonly #close: () => Promise<void>;
  readonly #workers: { worker: Worker; running: Promise<void> }[] = [];

  private constructor(
    url: string,
    partitions: number,
    pool: ReturnType<typeof createPool>,
    close: () => Promise<void>,
  ) {
    this.url = url;
    this.#partitions = partitions;
    this.tasks = postgresTaskStore({ db: pool });
    this.ownership = postgresOwnershipStore({ db: pool });
    this.execution = postgresExecutionStore({ db: pool });
    this.#pool = pool;
    this.#close = close;
  }

  static async open(partitions: number): Promise<Workbench> {
    const database = await createTestDatabase();
    await bootstrapDatabase({ url: database.url, uid: 'workbench', partitions });
    const pool = createPool({
      url: database.url,
      applicationName: workerApplicationName('workbench'),
      size: 8,
    });
    return new Workbench(database.url, partitions, pool, async () => {
      await pool.end();
      await database.drop();
    });
  }

  /** A worker that owns `partitions` at `epoch` from the start. */
  async startWorker(options: {
    id: string;
    partitions: readonly number[];
    epoch?: number;
    store?: ExecutionStore;
    handler?: Handler['run'];
    /** Instead, by name. */
    handlerFor?: (name: string) => Handler;
    handledNames?: readonly string[];
    concurrency?: number;
    graceMs?: number;
    keepMs?: number;
    clock?: Clock;
  }): Promise<{
    worker: Worker;
    incarnation: string;
    setHeld: (held: readonly Held[]) => void;
    said: readonly string[];
  }> {
    const incarnation = `${options.id}-incarnation`;
    await this.ownership.renew(options.id, [incarnation], LEASE_MS);
    const grants = options.partitions.map((partition) => ({ partition, epoch: options.epoch ?? 1 }));
    await this.ownership.acquire({ workerId: options.id, incarnation, grants, lockTimeoutMs: 1_000 });
    let listener: KeeperListener | undefined;
    const { logger, said } = keptLog();
    const worker = new Worker({
      workerId: options.id,
      store: options.store ?? this.execution,
      handlerFor: options.handlerFor ?? (() => ({ run: options.handler ?? (() => Promise.resolve()) })),
      handledNames: options.handledNames,
      concurrency: options.concurrency ?? 10,
      graceMs: options.graceMs ?? 2_000,
      keepMs: options.keepMs,
      clock: options.clock ?? systemClock,
      random: systemRandom,
      logger,
      startKeeper: (here) => {
        listener = here;
        return new LeaseOnlyKeeper({
          id: options.id,
          incarnation,
          grants,
          ownership: this.ownership,
          listener: here,
        });
      },
    });
    const running = worker.run();
    running.catch(() => {});
    this.#workers.push({ worker, running });
    const setHeld = (held: readonly Held[]) => listener?.held(held);
    setHeld(grants.map((grant) => ({ ...grant, incarnation })));
    return { worker, incarnation, setHeld, said };
  }

  /** What the test itself does to the database. */
  async query(sql: string): Promise<void> {
    await this.#pool.query(sql);
  }

  async submit(name: string, task: Partial<NewTask> = {}): Promise<StoredTask> {
    const given = { name, key: null, payload: { of: name }, scheduledAtMs: null, ...task };
    const [record] = await this.tasks.insert([given]);
    if (record === undefined) throw new Error('one task gives one record');
    return record;
  }

  /** One that is due at once, in a partition of the test's choice. */
  submitTo(partition: number, name = 'task'): Promise<StoredTask> {
    return this.submit(name, { key: this.keyOf(partition) });
  }

  /** What to shard by, to be in `partition`. */
  keyOf(partition: number): string {
    let key = 0;
    while (partitionOf(`key-${key}`, this.#partitions) !== partition) key += 1;
    return `key-${key}`;
  }

  /** Gives an incarnation a lease that it has renewed for an hour, and so may recover others' tasks. */
  async renewedForLong(workerId: string, incarnation: string): Promise<void> {
    await this.ownership.renew(workerId, [incarnation], 60_000);
    await this.#pool.query(
      `UPDATE worker_session SET unbroken_since = now() - interval '1 hour' WHERE incarnation = $1`,
      [incarnation],
    );
  }

  ended(id: number, withinMs = 10_000): Promise<TaskRecord> {
    return eventually(
      `task ${id} has ended`,
      async () => {
        const task = await this.tasks.get(id);
        return task !== null && ['COMPLETED', 'FAILED', 'CANCELLED'].includes(task.status) && task;
      },
      { withinMs },
    );
  }

  async stopWorkers(): Promise<void> {
    const workers = this.#workers.splice(0);
    await Promise.all(workers.map(({ worker }) => worker.stop()));
    await Promise.all(workers.map(({ running }) => running));
  }

  async close(): Promise<void> {
    await this.stopWorkers();
    await this.#close();
  }
}

interface LeaseOnlyKeeperOptions {
  readonly id: string;
  readonly incarnation: string;
  readonly grants: readonly PartitionEpoch[];
  readonly ownership: OwnershipStore;
  readonly listener: KeeperListener;
}

/** The keeper's part towards Postgres, for partitions that are a worker's from the start. */
class LeaseOnlyKeeper implements Keeper {
  readonly #options: LeaseOnlyKeeperOptions;
  readonly #timer: NodeJS.Timeout;
  #renewal: Promise<void>;

  constructor(options: LeaseOnlyKeeperOptions) {
    this.#options = options;
    this.#timer = setInterval(() => {
      this.#renewal = this.#renew();
    }, LEASE_MS / 3);
    this.#renewal = this.#renew();
  }

  async #renew(): Promise<void> {
    const { id, incarnation, ownership } = this.#options;
    await ownership.renew(id, [incarnation], LEASE_MS);
  }

  beat(): void {}
  fenceLost(): void {}

  async leave(): Promise<void> {
    const { incarnation, grants, ownership, listener } = this.#options;
    listener.held([]);
    await ownership.release(incarnation, grants);
  }

  async finish(): Promise<void> {
    clearInterval(this.#timer);
    await this.#renewal;
    await this.#options.ownership.endSession(this.#options.incarnation);
  }
}

/**
 * `store`, whose replies to `method` are lost `times` times: the statement is committed, and the caller is told
 * that the database was unavailable.
 */
export function losingReplies(
  store: ExecutionStore,
  method: 'claim' | 'finish',
  times: number,
): ExecutionStore {
  let left = times;
  const lose = <R>(result: R, worthLosing = true): R => {
    if (left === 0 || !worthLosing) return result;
    left -= 1;
    throw new StoreUnavailableError('the reply was lost');
  };
  return {
    ...store,
    claim: async (request) => {
      const result = await store.claim(request);
      return method === 'claim' ? lose(result, result.tasks.length > 0) : result;
    },
    finish: async (outcomes, settled) => {
      const results = await store.finish(outcomes, settled);
      return method === 'finish' ? lose(results) : results;
    },
  };
}

/** `store`, whose `finish` is unavailable while `away` says so. */
export function withoutFinish(store: ExecutionStore, away: () => boolean): ExecutionStore {
  return {
    ...store,
    finish: (outcomes, settled) =>
      away() ? Promise.reject(new StoreUnavailableError('away')) : store.finish(outcomes, settled),
  };
}

/** `store`, whose replies to claims that took something wait for `gate`. */
export function holdingClaimReplies(store: ExecutionStore, gate: Promise<unknown>): ExecutionStore {
  return {
    ...store,
    claim: async (request) => {
      const result = await store.claim(request);
      if (result.tasks.length > 0) await gate;
      return result;
    },
  };
}
