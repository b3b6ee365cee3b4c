import { sleep } from '../../libs/core/clock.ts';
import type { Clock } from '../../libs/core/clock.ts';
import type { Random } from '../../libs/core/random.ts';
import type { TaskId } from '../../libs/core/task.ts';
import { StoreUnavailableError } from '../../libs/db/stores.ts';
import type { ExecutionStore, Held } from '../../libs/db/stores.ts';
import { StartupError } from '../../libs/runtime/app-process.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import { Availability } from './availability.ts';
import { DatabaseTime } from './database-time.ts';
import { Executor } from './executor.ts';
import type { Handler } from './handlers/handler.ts';
import type { Keeper, KeeperListener } from './keeper/keeper.ts';
import { OwnIncarnations } from './own-incarnations.ts';
import { LATE_COMMIT_MS, PartitionRunner } from './partition-runner.ts';
import { CONSIDER_MS, Reconciler } from './reconciler.ts';
import { Recovery } from './recovery.ts';
import { Retention } from './retention.ts';
import { UNHANDLED_LOOK_MS, Unhandled } from './unhandled.ts';

const BEAT_MS = 250;
const RECOVER_MS = 250;
/** Where nobody else seems to run anything in our partitions: leases are also cut to their length then. */
const RECOVER_ANYWAY_MS = 10_000;
const SAY_PARTITIONS_MS = 30_000;
const SETTLED_MS = 15_000;
const CLEAR_SESSIONS_MS = 600_000;
/** Whoever owns it removes what ended long ago. */
const PARTITION_OF_RETENTION = 0;
/** Outcomes of the last moment may still wait for the database this long after the grace. */
const FLUSH_DEADLINE_MS = 2_000;

const isOfRetention = ({ partition }: Held) => partition === PARTITION_OF_RETENTION;

export interface WorkerOptions {
  readonly workerId: string;
  readonly store: ExecutionStore;
  readonly handlerFor: (name: string) => Handler;
  /** Tasks of other names wait for other workers; undefined: there is a handler for all. */
  readonly handledNames?: readonly string[] | undefined;
  readonly concurrency: number;
  readonly graceMs: number;
  /** How long tasks that have ended are kept; undefined: for ever. */
  readonly keepMs?: number | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Starts the keeper, which tells `listener` what this worker owns. */
  readonly startKeeper: (listener: KeeperListener) => Keeper;
}

/**
 * A worker: the keeper says which partitions are its own, the partition runner claims what is due in them, the
 * executor runs it and records the outcome.
 * ```
 * running ──stop()──▶ draining: no claims, partitions released, handlers within the grace ──▶ stopped
 * ```
 */
export class Worker {
  readonly #options: WorkerOptions;
  readonly #executor: Executor;
  readonly #runner: PartitionRunner;
  readonly #recovery: Recovery;
  readonly #reconciler: Reconciler;
  readonly #retention: Retention | undefined;
  readonly #unhandled: Unhandled | undefined;
  readonly #ownIncarnations: OwnIncarnations;
  readonly #databaseTime: DatabaseTime;
  readonly #keeper: Keeper;
  readonly #stopped = new AbortController();
  readonly #fault: Promise<never>;
  #fail: (error: Error) => void = () => {};
  #claiming: Promise<void> = Promise.resolve();
  #loops: Promise<unknown> = Promise.resolve();
  readonly #startedAtMs: number;
  #recoveredAtMs = -Infinity;
  #said = '';
  #saidAtMs = -Infinity;
  #draining = false;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#startedAtMs = options.clock.monotonicMs();
    this.#fault = new Promise<never>((_, reject) => {
      this.#fail = reject;
    });
    this.#fault.catch(() => {});
    const { store, clock, random, logger, workerId } = options;
    const availability = new Availability({ clock, random, logger });
    const ownIncarnations = new OwnIncarnations(clock);
    this.#ownIncarnations = ownIncarnations;
    this.#databaseTime = new DatabaseTime(clock);
    this.#executor = new Executor({
      store,
      availability,
      handlerFor: options.handlerFor,
      handledNames: options.handledNames,
      workerId,
      capacity: options.concurrency,
      clock,
      random,
      logger,
      holds: (task) => !this.#draining && this.#runner.holds(task),
      onFree: () => this.#runner.wake(),
      onNameFree: () => this.#runner.expectWork('*', -Infinity),
      onTurnOver: (partition) => {
        // The database notifies of it as well.
        if (!this.#runner.listening) this.#expectLateWork([partition]);
      },
    });
    this.#runner = new PartitionRunner({
      store,
      availability,
      executor: this.#executor,
      databaseTime: this.#databaseTime,
      ownIncarnations,
      workerId,
      clock,
      random,
      logger,
      onFenceLost: (parts) => {
        this.#executor.handBackNotHeld();
        this.#keeper.fenceLost(parts);
      },
    });
    this.#reconciler = new Reconciler({
      store,
      availability,
      executor: this.#executor,
      ownIncarnations,
      held: () => this.#runner.held,
      beyond: (partition) => this.#runner.beyond(partition),
      claimInFlight: () => this.#runner.claimInFlight,
      claimLostAtMs: () => this.#runner.claimLostAtMs,
      clock,
      logger,
    });
    this.#recovery = new Recovery({ store, availability, ownIncarnations, random, logger });
    const { keepMs } = options;
    const isOurs = () => !this.#draining && this.#runner.held.some(isOfRetention);
    if (keepMs !== undefined)
      this.#retention = new Retention({ store, availability, keepMs, isOurs, clock, logger });
    const { handledNames } = options;
    const held = () => this.#runner.held;
    if (handledNames !== undefined)
      this.#unhandled = new Unhandled({ store, availability, handledNames, held, clock, logger });
    this.#keeper = options.startKeeper({
      held: (held) => this.#setHeld(held),
      fatal: (message) => this.#fail(new StartupError(message)),
    });
  }

  /** In these partitions something may be due from that time on, by the database's clock: from the listener for submissions. */
  expectWork(partitions: readonly number[] | '*', sinceMs: number): void {
    this.#runner.expectWork(partitions, sinceMs);
  }

  /** Whether `expectWork` is told of submissions as they come; without, polling has to do. */
  listening(listening: boolean): void {
    this.#runner.listening = listening;
  }

  /** Runs until `stop` has been called and everything has ended. Rejects for a fault that waiting cannot mend. */
  async run(): Promise<void> {
    this.#claiming = this.#runner.run();
    this.#loops = Promise.all([
      // A look claims nothing: who stops waits for it at the very end.
      this.#claiming.then(() => this.#runner.looked()),
      this.#every(BEAT_MS, () => {
        this.#beat();
        return Promise.resolve();
      }),
      this.#every(RECOVER_MS, () => this.#recover()),
      this.#every(CONSIDER_MS, () => this.#reconciler.runOnce()),
      this.#every(CLEAR_SESSIONS_MS, () => this.#options.store.clearSessions()),
      this.#retention?.run(this.#stopped.signal),
      this.#unhandled && this.#every(UNHANDLED_LOOK_MS, this.#unhandled.runOnce.bind(this.#unhandled)),
    ]);
    await Promise.race([this.#loops, this.#fault]);
  }

  /**
   * Leaves the cluster without losing or doubling a task: claims nothing more, gives the partitions to others,
   * lets handlers finish within the grace, hands back what has not, and only then ends the lease.
   */
  async stop(): Promise<void> {
    if (this.#draining) return;
    this.#draining = true;
    const { clock, graceMs, logger } = this.#options;
    const graceEndsMs = clock.monotonicMs() + graceMs;
    const untilGraceEnds = () => Math.max(0, graceEndsMs - clock.monotonicMs());
    this.#runner.stop();
    this.#executor.handBackWaiting();
    await this.#keeper.leave();
    // The reply of a claim may come after the release it has held up.
    await Promise.race([this.#claiming, sleep(clock, untilGraceEnds())]);
    if (this.#executor.inFlight > 0) {
      logger.info({ inFlight: this.#executor.inFlight }, 'partitions released: waiting for running events');
    }
    while (this.#executor.running().length > 0 && untilGraceEnds() > 0) await sleep(clock, 20);
    const unfinished = this.#executor.running().length;
    if (unfinished > 0) logger.warn({ unfinished }, 'grace is over: handing events back');
    this.#executor.handBackRunning();
    // What has ended and could not be recorded is left to recovery: handed back, it would not have counted.
    const flushed = this.#executor
      .flushed()
      .then((allRecorded) => (allRecorded ? this.#handBackLeftOver() : undefined));
    await Promise.race([flushed.catch(() => {}), sleep(clock, untilGraceEnds() + FLUSH_DEADLINE_MS)]);
    this.#executor.giveUp();
    this.#stopped.abort();
    await this.#loops;
    await this.#keeper.finish();
  }

  /** Nothing is claimed and nothing runs: what the database still shows as ours came of replies that were lost. */
  async #handBackLeftOver(): Promise<void> {
    const leftOver = await this.#reconciler.leftOver();
    const { store, workerId } = this.#options;
    const end = { kind: 'HANDED_BACK' } as const;
    await store.finish(
      leftOver.map((task) => ({ ...task, workerId, end })),
      leftOver,
    );
  }

  /** A user wants this task gone, whoever runs that attempt. */
  cancelled(id: TaskId, attempt: number): void {
    this.#executor.abort(id, attempt, 'cancelled');
  }

  #setHeld(held: readonly Held[]): void {
    if (this.#draining) return;
    this.#runner.setHeld(held);
    this.#executor.handBackNotHeld();
    this.#sayPartitions();
  }

  /** When they change, and now and then; that there are none, only when that changes. */
  #sayPartitions(): void {
    const partitions = this.#runner.held.map(({ partition }) => partition).sort((a, b) => a - b);
    const said = `[${partitions.join(', ')}]`;
    const nowMs = this.#options.clock.monotonicMs();
    if (said === this.#said && (partitions.length === 0 || nowMs - this.#saidAtMs < SAY_PARTITIONS_MS))
      return;
    this.#said = said;
    this.#saidAtMs = nowMs;
    const none = partitions.length === 0 ? ' (none is assigned to this worker)' : '';
    this.#options.logger.info(`Polling events for partitions: ${said}${none}`);
  }

  #beat(): void {
    this.#keeper.beat(this.#ownIncarnations.all);
    // A worker that has just started is about to be given some: that there are none is news only later.
    const settled = this.#options.clock.monotonicMs() - this.#startedAtMs >= SETTLED_MS;
    if (!this.#draining && settled) this.#sayPartitions();
  }

  async #recover(): Promise<void> {
    const nowMs = this.#options.clock.monotonicMs();
    const needless = !this.#runner.othersRun && nowMs - this.#recoveredAtMs < RECOVER_ANYWAY_MS;
    if (this.#draining || needless) return;
    this.#recoveredAtMs = nowMs;
    const recovered = await this.#recovery.runOnce(this.#runner.heldBeyond);
    if (recovered.length > 0) this.#expectLateWork(recovered.map(({ partition }) => partition));
  }

  /** Of what a statement of ours has just made due. */
  #expectLateWork(partitions: readonly number[]): void {
    this.#runner.expectWork(partitions, Math.floor(this.#databaseTime.nowMs()) - LATE_COMMIT_MS);
  }

  async #every(periodMs: number, action: () => Promise<void>): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      try {
        await action();
      } catch (error) {
        if (!(error instanceof StoreUnavailableError)) throw error;
      }
      await sleep(this.#options.clock, periodMs, this.#stopped.signal);
    }
  }
}
