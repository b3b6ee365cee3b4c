import { Wakeup } from '../../libs/core/wakeup.ts';
import type { Clock } from '../../libs/core/clock.ts';
import type { Random } from '../../libs/core/random.ts';
import { StoreUnavailableError } from '../../libs/db/stores.ts';
import type { ClaimResult, ExecutionStore, Held } from '../../libs/db/stores.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import type { Availability } from './availability.ts';
import type { DatabaseTime } from './database-time.ts';
import { DueTimes } from './due-times.ts';
import type { Executor } from './executor.ts';
import type { OwnIncarnations } from './own-incarnations.ts';

/** The safety net: every partition is looked at this often, whatever was notified. */
const POLL_MS = 1_000;
/** How far ahead the loop reads: longer than the poll, so that nothing comes due unread. */
const HORIZON_MS = 10_000;
const MAX_CLAIM = 500;

export interface PartitionRunnerOptions {
  readonly store: ExecutionStore;
  readonly availability: Availability;
  readonly executor: Executor;
  readonly databaseTime: DatabaseTime;
  readonly ownIncarnations: OwnIncarnations;
  readonly workerId: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** A claim found these to be someone else's by now. */
  readonly onFenceLost: (parts: readonly Held[]) => void;
}

/**
 * The one loop over the partitions this worker owns: read what comes due next, wait for that moment, claim,
 * hand over to the executor. Everything else (a notification, a new partition, a free place, the poll) only
 * wakes it.
 */
export class PartitionRunner {
  readonly #options: PartitionRunnerOptions;
  readonly #wakeup: Wakeup;
  readonly #due = new DueTimes();
  #held = new Map<number, Held>();
  #polledAtMs = -Infinity;
  #claimInFlight: string | undefined;
  #stopped = false;

  constructor(options: PartitionRunnerOptions) {
    this.#options = options;
    this.#wakeup = new Wakeup(options.clock);
  }

  get held(): readonly Held[] {
    return [...this.#held.values()];
  }

  /** The id of the claim that has been sent and not answered. */
  get claimInFlight(): string | undefined {
    return this.#claimInFlight;
  }

  /** What this worker may claim from now on. */
  setHeld(held: readonly Held[]): void {
    const before = this.#held;
    this.#held = new Map(held.map((part) => [part.partition, part]));
    for (const partition of before.keys()) if (!this.#held.has(partition)) this.#due.drop(partition);
    for (const { partition, epoch } of held) {
      if (before.get(partition)?.epoch !== epoch) this.#due.forget(partition);
    }
    this.#wakeup.notify();
  }

  /** Something may be due now in these partitions. */
  expectWork(partitions: readonly number[] | '*'): void {
    for (const partition of partitions === '*' ? this.#held.keys() : partitions) {
      if (this.#held.has(partition)) this.#due.expect(partition, -Infinity);
    }
    this.#wakeup.notify();
  }

  /** A place in the executor is free. */
  wake(): void {
    this.#wakeup.notify();
  }

  /** Claims nothing more; `run` returns after the statement in flight. */
  stop(): void {
    this.#stopped = true;
    this.#wakeup.notify();
  }

  /** Runs until `stop`. Rejects only for a fault that is not the database being away. */
  async run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#round();
        await this.#wakeup.wait(this.#idleMs());
      } catch (error) {
        if (!(error instanceof StoreUnavailableError)) throw error;
        await this.#wakeup.wait(POLL_MS / 10);
      }
    }
  }

  async #round(): Promise<void> {
    const { clock, executor, databaseTime } = this.#options;
    if (this.#untilPollMs() === 0) {
      this.#polledAtMs = clock.monotonicMs();
      for (const partition of this.#held.keys()) this.#due.forget(partition);
    }
    if (this.#due.hasUnknown) await this.#peek();
    const ready = this.#due.dueAt(databaseTime.nowMs());
    if (ready.length > 0 && executor.free > 0 && !this.#stopped)
      await this.#claim(ready, Math.min(MAX_CLAIM, executor.free));
  }

  async #peek(): Promise<void> {
    const { store, availability, clock, databaseTime } = this.#options;
    const partitions = this.#due.takeUnknown();
    const sentAtMs = clock.monotonicMs();
    try {
      const { dbNowMs, due } = await availability.once('peek', () => store.peek(partitions, HORIZON_MS));
      databaseTime.observe(dbNowMs, sentAtMs);
      for (const { partition, dueAtMs } of due)
        if (this.#held.has(partition)) this.#due.expect(partition, dueAtMs);
    } catch (error) {
      this.#forgetHeld(partitions);
      throw error;
    }
  }

  async #claim(partitions: readonly number[], limit: number): Promise<void> {
    const { store, availability, executor, clock, databaseTime, ownIncarnations, random, workerId } =
      this.#options;
    const held = partitions.flatMap((partition) => this.#held.get(partition) ?? []);
    const claimId = random.uuid();
    const sentAtMs = clock.monotonicMs();
    // Whatever the claim takes, the next due time is another: to be read again.
    this.#forgetHeld(partitions);
    ownIncarnations.claiming(held.map(({ incarnation }) => incarnation));
    let result: ClaimResult;
    this.#claimInFlight = claimId;
    try {
      result = await availability.once('claim', () => store.claim({ claimId, workerId, held, limit }));
    } finally {
      this.#claimInFlight = undefined;
    }
    databaseTime.observe(result.dbNowMs, sentAtMs);
    executor.accept(result.tasks);
    const stood = new Set(result.held);
    const lost = held.filter((part) => !stood.has(part.partition));
    if (lost.length > 0) this.#fenceLost(lost);
  }

  #fenceLost(lost: readonly Held[]): void {
    for (const part of lost) {
      // By what it says: the keeper's messages are copies, and one may have come while the claim was under way.
      const held = this.#held.get(part.partition);
      if (held?.epoch !== part.epoch || held.incarnation !== part.incarnation) continue;
      this.#held.delete(part.partition);
      this.#due.drop(part.partition);
    }
    this.#options.logger.info(
      { partitions: lost.map(({ partition }) => partition) },
      'Partitions owned by another worker by now',
    );
    this.#options.onFenceLost(lost);
  }

  #forgetHeld(partitions: readonly number[]): void {
    for (const partition of partitions) if (this.#held.has(partition)) this.#due.forget(partition);
  }

  #idleMs(): number {
    if (this.#stopped || this.#due.hasUnknown) return 0;
    if (this.#options.executor.free === 0) return this.#untilPollMs();
    const untilDueMs = this.#due.nextMs() - this.#options.databaseTime.nowMs();
    return Math.max(0, Math.min(this.#untilPollMs(), untilDueMs));
  }

  /** Asked both ways, "is it time?" and "how long yet?", so that rounding never answers no and not at all. */
  #untilPollMs(): number {
    return Math.max(0, this.#polledAtMs + POLL_MS - this.#options.clock.monotonicMs());
  }
}
