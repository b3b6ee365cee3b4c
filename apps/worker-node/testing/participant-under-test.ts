import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { bootstrapTree } from '../../../libs/cluster/bootstrap.ts';
import { connectZooKeeper } from '../../../libs/cluster/connection.ts';
import { clusterPaths, parseInstanceName } from '../../../libs/cluster/paths.ts';
import { ackCodec, grantsCodec } from '../../../libs/cluster/records.ts';
import type { Ack } from '../../../libs/cluster/records.ts';
import { isZooKeeperError } from '../../../libs/cluster/zookeeper.ts';
import type { ZooKeeper } from '../../../libs/cluster/zookeeper.ts';
import { bootstrapDatabase } from '../../../libs/db/bootstrap.ts';
import { createPool, workerApplicationName } from '../../../libs/db/client.ts';
import { postgresOwnershipStore } from '../../../libs/db/postgres-ownership-store.ts';
import { postgresTaskStore } from '../../../libs/db/postgres-task-store.ts';
import type { Held, OwnershipStore } from '../../../libs/db/stores.ts';
import { systemClock, systemRandom } from '../../../libs/runtime/system.ts';
import { eventually } from '../../../libs/testing/eventually.ts';
import { createTestDatabase } from '../../../libs/testing/postgres.ts';
import { Participant } from '../keeper/participant.ts';

export interface RunningParticipant {
  readonly participant: Participant;
  /** What the main loop was told last. */
  readonly held: () => readonly Held[];
  readonly fatal: () => string | undefined;
  /** The main loop stops beating, until told otherwise. */
  readonly blockMain: (blocked: boolean) => void;
  /** What the main loop says with each beat that it may have attempts in flight under. */
  readonly use: (incarnations: readonly string[]) => void;
}

/** A cluster in ZooKeeper and Postgres whose controller the test plays, and participants of workers in it. */
export class ParticipantBench {
  readonly paths = clusterPaths(`participants-${randomUUID()}`);
  /** For connections that a test makes by a way of its own. */
  readonly url: string;
  readonly #zk: ZooKeeper;
  readonly #pool: ReturnType<typeof createPool>;
  readonly #sessionTimeoutMs: number;
  readonly #close: (() => Promise<void>)[];
  #rev = 0;

  private constructor(
    url: string,
    zk: ZooKeeper,
    pool: ReturnType<typeof createPool>,
    sessionTimeoutMs: number,
    close: (() => Promise<void>)[],
  ) {
    this.url = url;
    this.#zk = zk;
    this.#pool = pool;
    this.#sessionTimeoutMs = sessionTimeoutMs;
    this.#close = close;
  }

  /** @param options.uidInZooKeeper another than the database's, for a cluster that does not belong to it */
  static async open(options: {
    zk: ZooKeeper;
    sessionTimeoutMs: number;
    uidInZooKeeper?: string;
  }): Promise<ParticipantBench> {
    const database = await createTestDatabase();
    await bootstrapDatabase({ url: database.url, uid: 'bench', partitions: 8 });
    const pool = createPool({ url: database.url, applicationName: workerApplicationName('bench'), size: 6 });
    const close = [() => database.drop(), () => pool.end()];
    const bench = new ParticipantBench(database.url, options.zk, pool, options.sessionTimeoutMs, close);
    await bootstrapTree(options.zk, bench.paths, { uid: options.uidInZooKeeper ?? 'bench', partitions: 8 });
    return bench;
  }

  get ownership() {
    return postgresOwnershipStore({ db: this.#pool });
  }

  start(options: {
    workerId: string;
    connectString: string;
    wedgedAfterMs?: number;
    store?: OwnershipStore;
  }): RunningParticipant {
    let held: readonly Held[] = [];
    let fatal: string | undefined;
    let blocked = false;
    let using: readonly string[] = [];
    const participant = new Participant({
      connect: () =>
        connectZooKeeper({
          connectString: options.connectString,
          sessionTimeoutMs: this.#sessionTimeoutMs,
          clock: systemClock,
          random: systemRandom,
        }),
      store: options.store ?? this.ownership,
      leaseStore: options.store ?? this.ownership,
      paths: this.paths,
      workerId: options.workerId,
      live: { host: 'test', pid: process.pid, version: 'test' },
      sessionTimeoutMs: this.#sessionTimeoutMs,
      wedgedAfterMs: options.wedgedAfterMs ?? 30_000,
      listener: {
        held: (now) => {
          held = now;
        },
        fatal: (message) => {
          fatal = message;
        },
      },
      clock: systemClock,
      random: systemRandom,
      logger: pino({ level: 'silent' }),
    });
    const beat = setInterval(() => {
      if (!blocked) participant.beat(using);
    }, 50);
    this.#close.push(async () => {
      clearInterval(beat);
      await participant.leave();
      await participant.finish();
    });
    participant.start();
    const blockMain = (now: boolean) => {
      blocked = now;
    };
    const use = (incarnations: readonly string[]) => {
      using = incarnations;
    };
    return { participant, held: () => held, fatal: () => fatal, blockMain, use };
  }

  /** The incarnations of `workerId` that are registered. */
  async incarnations(workerId: string): Promise<string[]> {
    const { children } = await this.#zk.getChildren(this.paths.live);
    return children.flatMap((name) => {
      const instance = parseInstanceName(name);
      return instance?.id === workerId ? [instance.incarnation] : [];
    });
  }

  /** Waits for an incarnation of `workerId` that is not `not`. */
  joined(workerId: string, not?: string): Promise<string> {
    return eventually(
      `${workerId} has joined`,
      async () => (await this.incarnations(workerId)).find((incarnation) => incarnation !== not),
      { withinMs: 15_000 },
    );
  }

  /** What the controller would write; each call at a higher rev, which is returned. */
  async grant(workerId: string, incarnation: string, parts: Record<number, number>): Promise<number> {
    this.#rev += 1;
    const path = this.paths.grantsOf(workerId);
    const data = grantsCodec.encode({ incarnation, rev: this.#rev, parts, revoked: {} });
    if ((await this.#zk.exists(path)) === null) await this.#zk.create(path, data, 'PERSISTENT');
    else await this.#zk.setData(path, data, -1);
    return this.#rev;
  }

  /** Waits for the ack of `rev` that satisfies `holds`. */
  acknowledged(
    workerId: string,
    incarnation: string,
    rev: number,
    holds: (ack: Ack) => boolean = () => true,
  ): Promise<Ack> {
    const path = this.paths.ackOf(workerId, incarnation);
    return eventually(
      `${workerId} acknowledges rev ${rev}`,
      async () => {
        try {
          const ack = ackCodec.decode((await this.#zk.getData(path)).data, path);
          return ack.rev >= rev && holds(ack) && ack;
        } catch (error) {
          if (isZooKeeperError(error, 'NO_NODE')) return false;
          throw error;
        }
      },
      { withinMs: 15_000 },
    );
  }

  /** The owners of partitions as Postgres has them, without those that have none. */
  async owners(): Promise<Record<number, string>> {
    const { partitions } = await postgresTaskStore({ db: this.#pool }).cluster();
    return Object.fromEntries(partitions.flatMap(({ id, owner }) => (owner === null ? [] : [[id, owner]])));
  }

  /** Incarnations with a lease that has not ended. */
  async leases(): Promise<string[]> {
    const { rows } = await this.#pool.query<{ incarnation: string }>(
      'SELECT incarnation FROM worker_session WHERE expires_at > now() ORDER BY started_at',
    );
    return rows.map(({ incarnation }) => incarnation);
  }

  async close(): Promise<void> {
    for (const close of this.#close.splice(0).reverse()) await close();
  }
}
