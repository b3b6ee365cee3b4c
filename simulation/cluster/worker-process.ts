import { clusterPaths } from '../../libs/cluster/paths.ts';
import type { Random } from '../../libs/core/random.ts';
import { workerApplicationName } from '../../libs/db/client.ts';
import type { Handler } from '../../apps/worker-node/handlers/handler.ts';
import type { Keeper, KeeperListener } from '../../apps/worker-node/keeper/keeper.ts';
import { Participant } from '../../apps/worker-node/keeper/participant.ts';
import { Worker } from '../../apps/worker-node/worker.ts';
import { Thread } from '../thread.ts';
import { Wire } from '../wire.ts';
import type { World } from '../world.ts';
import { SimulatedZooKeeper } from '../zookeeper/client.ts';
import type { Ensemble } from '../zookeeper/ensemble.ts';
import { simulatedLogger } from './log.ts';
import type { Say } from './log.ts';
import { Pool } from './postgres.ts';
import type { Postgres } from './postgres.ts';

export interface WorkerProcessOptions {
  readonly world: World;
  readonly ensemble: Ensemble;
  readonly postgres: Postgres;
  readonly id: string;
  readonly random: Random;
  readonly sessionTimeoutMs: number;
  readonly wedgedAfterMs: number;
  /** How long tasks that have ended are kept; undefined: for ever. */
  readonly keepMs: number | undefined;
  readonly wallOffsetMs: number;
  readonly handlerFor: (process: WorkerProcess) => (name: string) => Handler;
  readonly say: Say;
  /** Its main function has failed. */
  readonly onExit: (error: Error) => void;
}

/** How long a message between the threads takes. */
const HOP_MS = 0.05;
const STATEMENT_TIMEOUT_MS = 20_000;
const RELISTEN_MS = 200;
/** How old the last sign of life of a main thread may be at the moment when it is blocked. */
const BEAT_EVERY_MS = 300;
/** WORKER_CONCURRENCY. */
export const CONCURRENCY = 20;
const GRACE_MS = 2_000;

/** What apps/worker-node/main.ts starts, with its two threads, on virtual time. */
export class WorkerProcess {
  readonly id: string;
  readonly applicationName: string;
  readonly main: Thread;
  readonly keeper: Thread;
  readonly zkWire: Wire;
  readonly dbWire: Wire;
  /** Until when something was last wrong with this process alone, not with the servers, that may cost it its lease. */
  troubledUntilMs = 0;
  /** Until when its main thread was last blocked. */
  wedgedUntilMs = 0;
  #listening = true;
  readonly #options: WorkerProcessOptions;
  readonly #pools: Pool[] = [];
  readonly #worker: Worker;

  constructor(options: WorkerProcessOptions) {
    const { world, id, postgres, random, wallOffsetMs, say, sessionTimeoutMs } = options;
    this.#options = options;
    this.id = id;
    this.main = new Thread(world, wallOffsetMs);
    this.keeper = new Thread(world, wallOffsetMs);
    this.zkWire = new Wire(world, `${id} zookeeper`);
    this.dbWire = new Wire(world, `${id} postgres`);
    const applicationName = (this.applicationName = workerApplicationName(random.uuid()));
    const pool = (thread: Thread, timeoutMs: number) => {
      const made = new Pool({ postgres, wire: this.dbWire, thread, process: id, applicationName, timeoutMs });
      this.#pools.push(made);
      return made;
    };
    const logger = simulatedLogger(say);
    this.#worker = new Worker({
      workerId: id,
      store: pool(this.main, STATEMENT_TIMEOUT_MS).execution,
      handlerFor: options.handlerFor(this),
      concurrency: CONCURRENCY,
      graceMs: GRACE_MS,
      keepMs: options.keepMs,
      clock: this.main.clock,
      random,
      logger,
      startKeeper: (listener) =>
        this.#startKeeper(
          listener,
          pool(this.keeper, STATEMENT_TIMEOUT_MS),
          pool(this.keeper, sessionTimeoutMs / 3),
        ),
    });
    this.#worker.run().catch((error: unknown) => {
      if (!this.dead) options.onExit(error as Error);
    });
    this.#worker.listening(true);
    postgres.database.onTaskDue((partitions, sinceMs) => {
      if (this.#listening && !this.dead)
        this.dbWire
          .open()
          .send('TO_CLIENT', () => this.main.deliver(() => this.#worker.expectWork(partitions, sinceMs)));
    });
    postgres.database.onTaskCancel((id, attempt) => {
      if (this.#listening && !this.dead)
        this.dbWire
          .open()
          .send('TO_CLIENT', () => this.main.deliver(() => this.#worker.cancelled(id, attempt)));
    });
    postgres.onRestart(() => {
      if (!this.dead) this.cutDatabase();
    });
  }

  get dead(): boolean {
    return this.main.dead;
  }

  /** Nothing is wrong with what its lease hangs on: ZooKeeper is not among it (P6). */
  get healthy(): boolean {
    return this.keeper.running && this.dbWire.healthy;
  }

  /** Something is wrong with this process alone, from now and for so long. */
  trouble(ms: number): void {
    this.troubledUntilMs = Math.max(this.troubledUntilMs, this.#options.world.nowMs + ms);
  }

  /** Its main thread computes for so long without yielding: up to a limit that costs nothing. */
  wedge(ms: number): void {
    this.wedgedUntilMs = Math.max(this.wedgedUntilMs, this.#options.world.nowMs + ms);
    if (ms > this.#options.wedgedAfterMs - BEAT_EVERY_MS) this.trouble(ms);
  }

  /** SIGKILL. */
  kill(): void {
    this.main.kill();
    this.keeper.kill();
  }

  /** SIGTERM. Resolves when the process has ended. */
  async stop(): Promise<void> {
    await this.#worker.stop();
    this.kill();
  }

  /** The connections to Postgres are reset, the listener's too. */
  cutDatabase(): void {
    for (const pool of this.#pools) pool.cut();
    this.main.deliver(() => this.#worker.listening(false));
    this.loseNotifications(RELISTEN_MS);
  }

  /** Notifications are lost, without anyone knowing, for so long; then the listener has connected again. */
  loseNotifications(ms: number): void {
    this.#listening = false;
    this.#options.world.schedule(ms, () => {
      this.#listening = true;
      if (!this.dead)
        this.main.deliver(() => {
          this.#worker.listening(true);
          this.#worker.expectWork('*', -Infinity);
        });
    });
  }

  /** keeper-thread.ts and keeper-client.ts: the participant behind messages. */
  #startKeeper(listener: KeeperListener, pool: Pool, leasePool: Pool): Keeper {
    const { world, ensemble, id, random, sessionTimeoutMs, wedgedAfterMs, say } = this.#options;
    const tell = (thread: Thread, happen: () => void) => world.schedule(HOP_MS, () => thread.deliver(happen));
    const ask = (start: () => Promise<void>) =>
      new Promise<void>((resolve, reject) =>
        tell(this.keeper, () => void start().then(() => tell(this.main, resolve), reject)),
      );
    const thread = this.keeper;
    const participant = new Participant({
      connect: () =>
        new SimulatedZooKeeper({
          ensemble,
          wire: this.zkWire,
          thread,
          process: id,
          sessionTimeoutMs,
          random,
        }),
      store: pool.ownership,
      leaseStore: leasePool.ownership,
      paths: clusterPaths('sim'),
      workerId: id,
      live: { host: 'sim', pid: 1, version: 'sim' },
      sessionTimeoutMs,
      wedgedAfterMs,
      listener: {
        held: (held) => {
          // As postMessage does.
          const copy = structuredClone(held);
          tell(this.main, () => listener.held(copy));
        },
        fatal: (message) => tell(this.main, () => listener.fatal(message)),
      },
      clock: thread.clock,
      random,
      logger: simulatedLogger(say),
    });
    participant.start();
    return {
      // Only leaves word: no hop of its own, for speed.
      beat: (inUse) => thread.deliver(() => participant.beat(inUse)),
      fenceLost: (parts) => tell(thread, () => participant.fenceLost(parts)),
      leave: () => ask(() => participant.leave()),
      finish: () => ask(() => participant.finish()),
    };
  }
}
