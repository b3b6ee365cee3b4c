import { bootstrapTree } from '../../libs/cluster/bootstrap.ts';
import { clusterPaths } from '../../libs/cluster/paths.ts';
import { isZooKeeperError } from '../../libs/cluster/zookeeper.ts';
import { sleep } from '../../libs/core/clock.ts';
import { seededRandom } from '../../libs/testing/seeded-random.ts';
import type { Action, Server } from '../actions.ts';
import { CONTROLLERS, USERS, WORKERS } from '../actions.ts';
import { FewestMoves } from '../fewest-moves.ts';
import { Moves } from '../moves.ts';
import { Safety } from '../safety.ts';
import { Thread } from '../thread.ts';
import type { Transcript } from '../transcript.ts';
import { Wire } from '../wire.ts';
import type { World } from '../world.ts';
import { SimulatedZooKeeper } from '../zookeeper/client.ts';
import { Ensemble } from '../zookeeper/ensemble.ts';
import { Administrator } from './administrator.ts';
import { ControllerProcess } from './controller-process.ts';
import { simulatedHandler } from './handler.ts';
import type { Say } from './log.ts';
import { Postgres } from './postgres.ts';
import { Users } from './users.ts';
import { WorkerProcess } from './worker-process.ts';

const PARTITIONS = 6;
/** T: half of what production has, so that more of them fit into a run. */
const SESSION_TIMEOUT_MS = 2_000;
const TICK_MS = 250;
const WEDGED_AFTER_MS = 1_500;
/** Clocks of different machines disagree by up to so much. */
const SKEW_MS = 5_000;
/** How long tasks that have ended are kept, where not for ever. */
const KEEP_MS = 3_000;
const SHARE_WITH_RETENTION = 0.5;
const UID = 'simulated';
export const PATHS = clusterPaths('sim');

/** The whole system in one process: the servers, the cluster's processes, its users, and what can befall them. */
export class Cluster {
  readonly #world: World;
  readonly #transcript: Transcript;
  readonly safety: Safety;
  readonly ensemble: Ensemble;
  readonly postgres: Postgres;
  readonly users: Users;
  readonly workers = new Map<string, WorkerProcess>();
  readonly controllers = new Map<string, ControllerProcess>();
  readonly #judges: readonly (Moves | FewestMoves)[];
  readonly #administrator: Administrator;
  /** How long tasks that have ended are kept; undefined: for ever. */
  readonly keepMs: number | undefined;
  /** Until when some backend may be slow, and whether the database's clock was ever set back. */
  #slowUntilMs = 0;
  #setBack = false;

  constructor(world: World, transcript: Transcript) {
    this.#world = world;
    this.#transcript = transcript;
    this.keepMs = world.random('retention').next() < SHARE_WITH_RETENTION ? KEEP_MS : undefined;
    this.safety = new Safety({
      nowMs: () => world.nowMs,
      leaseMs: SESSION_TIMEOUT_MS,
      keepMs: this.keepMs,
      count: (what) => world.count(what),
    });
    this.ensemble = new Ensemble(world, {
      tickTimeMs: TICK_MS,
      onCommit: (by, changes, session) => {
        transcript.add(
          'zookeeper',
          () =>
            `${by ?? 'a session ends'}: ${changes.map((change) => `${change.type} ${'path' in change ? change.path : ''}`).join(', ')}`,
        );
        this.safety.znodesChanged(by, session, changes, PATHS);
        for (const judge of this.#judges) judge.committed(changes);
      },
    });
    this.postgres = new Postgres(world, {
      partitions: PARTITIONS,
      uid: UID,
      onStatement: (process, statement, what) =>
        transcript.add('postgres', () => `${process}: ${statement} ${what}`),
    });
    this.safety.watch(this.postgres.database);
    const judging = {
      paths: PATHS,
      database: this.postgres.database,
      nowMs: () => world.nowMs,
      broken: (promise: string, message: string) => this.safety.broken(promise, message),
      count: (what: string) => world.count(what),
    };
    this.#judges = [new Moves(judging), new FewestMoves(judging)];
    this.#administrator = new Administrator(world, this.ensemble, PATHS);
    this.users = new Users(world, this.postgres, this.safety);
  }

  /** cluster-init, the controllers, and all workers but one. */
  start(): void {
    this.#initialise(0);
    for (const id of CONTROLLERS) this.#startController(id);
    for (const id of WORKERS.slice(0, -1)) this.startWorker(id);
  }

  // ------------------------------------------------------------------ what befalls it

  /** Carries out `action`; one that has no object, such as a process that does not run, does nothing. */
  do(action: Action): void {
    this.#transcript.add('*', () => JSON.stringify(action));
    switch (action.kind) {
      case 'submit':
        return this.users.submit(action, this.postgres.machine.clock.wallMs());
      case 'remove':
      case 'cancel':
      case 'retry':
      case 'run':
        return this.users[action.kind](action.nth);
      case 'patch':
        return this.users.patch(action.nth, action.change, action.asRead);
      case 'crash':
        return this.#process(action.process)?.kill();
      case 'start':
        if (WORKERS.includes(action.process)) return this.startWorker(action.process);
        return this.#startController(action.process);
      case 'stop':
        void this.#process(action.process)?.stop();
        return;
      case 'expire':
        return this.ensemble.expireSessionOf(action.process);
      case 'pause':
        this.workers.get(action.process)?.trouble(action.ms);
        return this.#pause(this.#threads(action.process), action.ms, action.first);
      case 'wedge':
        this.workers.get(action.process)?.wedge(action.ms);
        return this.#pause(this.#threads(action.process).slice(0, 1), action.ms, 'timer');
      case 'cut':
        if (action.server === 'zookeeper') return this.ensemble.cut(action.process);
        if (action.process === USERS) return this.users.cutDatabase();
        return this.workers.get(action.process)?.cutDatabase();
      case 'blackHole':
        return this.#break(action.process, action.server, action.ms, (wire) => wire.hold(action.directions));
      case 'slowWire':
        return this.#break(
          action.process,
          action.server,
          action.ms,
          (wire) => (wire.slownessMs = action.byMs),
        );
      case 'loseReply':
        if (action.server === 'zookeeper') return this.ensemble.loseReply(action.process, action.to as 'any');
        return this.postgres.loseReply(action.process, action.to);
      case 'delayReply':
        return this.postgres.delayReply(action.process, action.to, action.ms);
      case 'loseEvents':
        return this.ensemble.loseEvents(action.process, action.ms);
      case 'loseNotifications':
        return this.workers.get(action.process)?.loseNotifications(action.ms);
      case 'slowBackend':
        this.workers.get(action.process)?.trouble(action.ms + action.byMs);
        this.#slowUntilMs = Math.max(this.#slowUntilMs, this.#world.nowMs + action.ms + action.byMs);
        this.#leasesMayBeHeldUp();
        this.postgres.slow(action.process, action.byMs);
        this.#world.schedule(action.ms, () => this.postgres.slow(action.process, 0));
        return;
      case 'zookeeperDown':
        return this.ensemble.goDown(action.ms);
      case 'postgresRestart':
        return this.postgres.restart(action.ms);
      case 'wipe':
        this.safety.wiped();
        for (const judge of this.#judges) judge.wiped();
        this.ensemble.wipe();
        return this.#initialise(action.initAfterMs);
      case 'depose':
        return this.#administrator.depose();
      case 'administer':
        return this.#administrator.type(action.words);
      case 'stepClock':
        if (action.whose === 'postgres') {
          this.#setBack ||= action.ms < 0;
          this.#leasesMayBeHeldUp();
          return this.postgres.machine.stepWall(action.ms);
        }
        for (const thread of this.#threads(action.whose)) thread.stepWall(action.ms);
        return;
    }
  }

  /** Whether both servers are up: what {@link heal} does not hasten. */
  get serversUp(): boolean {
    return this.ensemble.up && this.postgres.up;
  }

  /** A slow backend that cuts leases to their length, the clock having been set back, holds up everybody's renewals. */
  #leasesMayBeHeldUp(): void {
    if (!this.#setBack) return;
    for (const worker of this.workers.values()) worker.trouble(this.#slowUntilMs - this.#world.nowMs);
  }

  /** Nobody wishes anything any more. */
  takeWishesBack(): void {
    this.#administrator.takeBack();
  }

  /** Everything works again from now on, and every process runs. */
  heal(): void {
    this.postgres.heal();
    this.ensemble.heal();
    for (const { id } of [...this.workers.values(), ...this.controllers.values()]) {
      for (const thread of this.#threads(id)) thread.resume('message');
      for (const server of ['zookeeper', 'postgres'] as const) this.#wire(id, server)?.heal();
    }
    this.users.wire.heal();
    for (const id of CONTROLLERS) this.#startController(id);
    for (const id of WORKERS.slice(0, -1)) this.startWorker(id);
  }

  startWorker(id: string): void {
    if (this.workers.get(id)?.dead === false) return;
    this.workers.set(
      id,
      new WorkerProcess({
        ...this.#common(id),
        postgres: this.postgres,
        wedgedAfterMs: WEDGED_AFTER_MS,
        handlerFor: (process) => () => simulatedHandler(process, this.safety),
        keepMs: this.keepMs,
        onExit: (error) => this.#exited(id, error),
      }),
    );
  }

  #startController(id: string): void {
    if (this.controllers.get(id)?.dead === false) return;
    this.controllers.set(
      id,
      new ControllerProcess({ ...this.#common(id), onExit: (error) => this.#exited(id, error) }),
    );
  }

  #common(id: string) {
    const random = seededRandom(Math.floor(this.#world.random(`start ${id}`).next() * 2 ** 32));
    const say: Say = (level, message, fields) =>
      this.#transcript.add(
        id,
        () => `${level === 'info' ? '' : `${level}: `}${message} ${fieldsText(fields)}`,
      );
    return {
      world: this.#world,
      ensemble: this.ensemble,
      id,
      random,
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
      wallOffsetMs: Math.round((random.next() - 0.5) * 2 * SKEW_MS),
      say,
    };
  }

  /** No process has a reason to end by itself: all are of one cluster, and no two have one id. */
  #exited(id: string, error: Error): void {
    this.#transcript.add(id, () => `exits: ${error.message}`);
    this.safety.broken('no fault of ours', `${id}: ${error.stack ?? error.message}`);
    this.#process(id)?.kill();
  }

  /** cluster-init, by somebody who repeats it until it has worked. */
  #initialise(afterMs: number): void {
    const thread = new Thread(this.#world, 0);
    const random = this.#world.random('cluster-init');
    this.#world.schedule(afterMs, () => {
      const wire = new Wire(this.#world, 'cluster-init zookeeper');
      const zk = new SimulatedZooKeeper({
        ensemble: this.ensemble,
        wire,
        thread,
        process: 'cluster-init',
        sessionTimeoutMs: SESSION_TIMEOUT_MS,
        random,
      });
      const attempt = async (): Promise<void> => {
        for (;;) {
          try {
            await bootstrapTree(zk, PATHS, { uid: UID, partitions: PARTITIONS });
            return await zk.close();
          } catch (error) {
            if (!isZooKeeperError(error)) throw error;
            await sleep(thread.clock, 200);
          }
        }
      };
      void attempt();
    });
  }

  #process(id: string): WorkerProcess | ControllerProcess | undefined {
    const found = this.workers.get(id) ?? this.controllers.get(id);
    return found?.dead ? undefined : found;
  }

  #threads(id: string): Thread[] {
    const worker = this.workers.get(id);
    const controller = this.controllers.get(id);
    return worker ? [worker.main, worker.keeper] : controller ? [controller.main] : [];
  }

  #wire(id: string, server: Server): Wire | undefined {
    if (server === 'zookeeper') return (this.workers.get(id) ?? this.controllers.get(id))?.zkWire;
    return id === USERS ? this.users.wire : this.workers.get(id)?.dbWire;
  }

  #pause(threads: readonly Thread[], ms: number, first: 'timer' | 'message'): void {
    for (const thread of threads) {
      thread.pause();
      this.#world.schedule(ms, () => thread.resume(first));
    }
  }

  #break(id: string, server: Server, ms: number, fault: (wire: Wire) => void): void {
    const wire = this.#wire(id, server);
    if (wire === undefined) return;
    if (server === 'postgres') this.workers.get(id)?.trouble(ms);
    fault(wire);
    this.#world.schedule(ms, () => wire.heal());
  }
}

function fieldsText(fields: Record<string, unknown>): string {
  const entries = Object.entries(fields).map(
    ([name, value]) => `${name}=${value instanceof Error ? value.message : JSON.stringify(value)}`,
  );
  return entries.join(' ');
}
