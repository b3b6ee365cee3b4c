import { Wakeup } from '../../libs/core/wakeup.ts';
import type { Clock } from '../../libs/core/clock.ts';
import type { Random } from '../../libs/core/random.ts';
import { StatementCancelledError, StoreUnavailableError } from '../../libs/db/stores.ts';
import type { Beyond, ClaimResult, ExecutionStore, Held } from '../../libs/db/stores.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import type { Availability } from './availability.ts';
import { ClaimSize } from './claim-size.ts';
import type { DatabaseTime } from './database-time.ts';
import { DueTimes } from './due-times.ts';
import type { Executor } from './executor.ts';
import { FirstLooks } from './first-looks.ts';
import { freshReply } from './fresh-reply.ts';
import { LookBack } from './look-back.ts';
import type { LookFrom } from './look-back.ts';
import type { OwnIncarnations } from './own-incarnations.ts';
import { Positions } from './positions.ts';

/** A look back goes as far as a transaction may have taken, a statement's timeout, to commit what was due when it began. */
export const LATE_COMMIT_MS = 20_000;
/** After the database was away. */
const RETRY_MS = 100;
/** How far ahead the loop reads: longer than it takes until the next look back, so that nothing comes due unread. */
const HORIZON_MS = 10_000;
/** A look that takes longer has much to pass by. */
const SLOW_LOOK_MS = HORIZON_MS / 2;

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
 * hand over to the executor. Everything else (a notification, a new partition, a free place, a look that was made beside it) only
 * tells it what may be due, and wakes it.
 */
export class PartitionRunner {
  readonly #options: PartitionRunnerOptions;
  readonly #wakeup: Wakeup;
  readonly #due: DueTimes;
  readonly #positions = new Positions();
  readonly #claimSize = new ClaimSize();
  #held = new Map<number, Held>();
  readonly #lookBack: LookBack;
  readonly #firstLooks: FirstLooks;
  /** Waiting for a look that may not see all; to be looked through from the beginning after it. */
  readonly #owed = new Set<number>();
  /** Of partitions, in one statement of a look back. */
  readonly #mostLookedAt: Record<LookFrom, number> = { RECENTLY: Infinity, BEGINNING: Infinity };
  #othersRun = true;
  #claimInFlight: string | undefined;
  #claimLostAtMs = -Infinity;
  #stopped = false;

  constructor(options: PartitionRunnerOptions) {
    this.#options = options;
    this.#wakeup = new Wakeup(options.clock);
    this.#lookBack = new LookBack({
      look: (from) => this.#lookAtAll(from),
      clock: options.clock,
      onEnd: () => this.#wakeup.notify(),
    });
    this.#firstLooks = new FirstLooks({
      look: (partitions, waits) => this.#lookBeyond('first-look', partitions, waits),
      clock: options.clock,
      onEnd: () => this.#wakeup.notify(),
    });
    this.#due = new DueTimes((partition) => this.#firstLooks.has(partition));
  }

  /** Whether notifications reach us. */
  get listening(): boolean {
    return this.#lookBack.listening;
  }

  set listening(listening: boolean) {
    this.#lookBack.listening = listening;
  }

  get held(): readonly Held[] {
    return [...this.#held.values()];
  }

  /** With how far claims have got in each. */
  get heldBeyond(): readonly (Held & Beyond)[] {
    return this.held.map((part) => ({ ...part, ...this.beyond(part.partition) }));
  }

  /** How far claims have got in a partition, held or not. */
  beyond(partition: number): Beyond {
    return this.#positions.beyond(partition);
  }

  /** Still the same: the keeper's messages are copies, and one may have come while a claim was under way. */
  holds({ partition, epoch, incarnation }: Held): boolean {
    const held = this.#held.get(partition);
    return held?.epoch === epoch && held.incarnation === incarnation;
  }

  /** The id of the claim that has been sent and not answered. */
  get claimInFlight(): string | undefined {
    return this.#claimInFlight;
  }

  /** When last a claim was sent and not answered, by the monotonic clock. */
  get claimLostAtMs(): number {
    return this.#claimLostAtMs;
  }

  /** Whether others run, or may run, tasks in our partitions: those who owned them before, or died with them. */
  get othersRun(): boolean {
    return this.#othersRun;
  }

  /** What this worker may claim from now on. */
  setHeld(held: readonly Held[]): void {
    const before = this.#held;
    this.#held = new Map(held.map((part) => [part.partition, part]));
    for (const partition of before.keys()) {
      if (this.#held.has(partition)) continue;
      this.#drop(partition);
    }
    for (const { partition, epoch } of held) {
      if (before.get(partition)?.epoch === epoch) continue;
      this.#due.drop(partition);
      this.#positions.begin(partition);
      this.#firstLooks.begin(partition);
      this.#othersRun = true;
    }
    this.#wakeup.notify();
  }

  /** In these partitions something may be due from that time on, by the database's clock; -Infinity: whenever. */
  expectWork(partitions: readonly number[] | '*', sinceMs: number): void {
    // With a look and not with a claim, which holds locks.
    if (sinceMs === -Infinity) {
      this.#lookBack.want();
      for (const partition of this.#held.keys())
        if (this.#firstLooks.has(partition)) this.#owed.add(partition);
    } else
      for (const partition of partitions === '*' ? this.#held.keys() : partitions) {
        if (!this.#held.has(partition)) continue;
        this.#due.expect(partition, sinceMs);
        this.#positions.back(partition, sinceMs);
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
        await this.#wakeup.wait(RETRY_MS);
      }
    }
  }

  /** After `run`: resolves when no look is under way any more. */
  async looked(): Promise<void> {
    await Promise.all([this.#lookBack.ended(), this.#firstLooks.ended()]);
  }

  async #round(): Promise<void> {
    const { executor, databaseTime } = this.#options;
    this.#lookBack.poll();
    this.#firstLooks.poll();
    if (this.#due.hasUnknown) await this.#peek();
    const ready = this.#due.dueAt(databaseTime.nowMs()).slice(0, this.#claimSize.partitions);
    if (ready.length > 0 && executor.free > 0 && !this.#stopped)
      await this.#claim(ready, Math.min(this.#claimSize.most(ready.length), executor.free));
  }

  /** What comes next beyond the positions of claims. Where that takes too long, it is read beside the loop. */
  async #peek(): Promise<void> {
    const { clock } = this.#options;
    const partitions = this.#due.takeUnknown();
    const sentAtMs = clock.monotonicMs();
    try {
      await this.#lookBeyond('peek', partitions, (partition) => !this.#firstLooks.has(partition));
    } catch (error) {
      if (error instanceof StatementCancelledError)
        this.#leaveAside(partitions, clock.monotonicMs() - sentAtMs);
      else this.#forgetHeld(partitions);
      throw error;
    }
  }

  /** Looks beyond the positions of claims in `partitions`, from the beginning where there is none; the answer is for those that still `wait` for it. */
  async #lookBeyond(
    name: string,
    partitions: readonly number[],
    waits: (partition: number) => boolean,
  ): Promise<void> {
    const { clock } = this.#options;
    const sentAtMs = clock.monotonicMs();
    this.#positions.looking(partitions);
    const beyond = partitions.map((partition) => this.#positions.beyond(partition));
    const { due, othersRun, dbNowMs } = await this.#look(name, beyond);
    if (othersRun) this.#othersRun = true;
    const slow = clock.monotonicMs() - sentAtMs > SLOW_LOOK_MS;
    const dueAtMs = new Map(due.map((next) => [next.partition, next.dueAtMs]));
    for (const { partition, after } of beyond) {
      if (!this.#held.has(partition) || !waits(partition)) continue;
      const nextMs = dueAtMs.get(partition);
      if (nextMs !== undefined) this.#due.expect(partition, nextMs);
      // The look has used up what it has read ahead; no look back is made at what waits for its first.
      else if (slow && name === 'first-look') this.#due.forget(partition);
      // What was due before is claimed or has ended: not to be passed by a claim once more.
      if (slow || after === undefined)
        this.#positions.found(partition, Math.min(nextMs ?? Infinity, Math.floor(dbNowMs) - LATE_COMMIT_MS));
      if (this.#owed.delete(partition)) this.#lookBack.want();
    }
  }

  /** A statement in these was cut off: they are looked at beside the loop, and then for what was committed late meanwhile. */
  #leaveAside(partitions: readonly number[], tookMs: number): void {
    const held = partitions.filter((partition) => this.#held.has(partition));
    this.#firstLooks.tookTooLong(held, tookMs);
    for (const partition of held) this.#owed.add(partition);
  }

  /** What lies before the positions of claims as well. Other rounds go on meanwhile. */
  async #lookAtAll(from: LookFrom): Promise<void> {
    const held = this.#held;
    let waiting = [...held.keys()];
    let mayRun = false;
    let cutOff: StatementCancelledError | undefined;
    while (!this.#stopped) {
      // What waits for its first look is looked at by that.
      const left = waiting.filter(
        (partition) => this.#held.has(partition) && !this.#firstLooks.has(partition),
      );
      if (left.length < waiting.length) mayRun = true;
      waiting = left;
      const partitions = waiting.splice(0, this.#mostLookedAt[from]);
      if (partitions.length === 0) break;
      try {
        if (await this.#lookBefore(held, partitions, from)) this.#othersRun = mayRun = true;
      } catch (error) {
        if (!(error instanceof StatementCancelledError)) throw error;
        cutOff = error;
        // Fewer at a time; what cannot be passed even alone is left out.
        this.#mostLookedAt[from] = Math.max(1, partitions.length >> 1);
        if (partitions.length > 1) waiting.unshift(...partitions);
      }
    }
    if (cutOff !== undefined) throw cutOff;
    this.#mostLookedAt[from] *= 2;
    // What others run here they have claimed before it was ours: once there is nothing left, nothing comes.
    if (held === this.#held && !mayRun && !this.#stopped) this.#othersRun = false;
  }

  /** @returns whether others run anything there */
  async #lookBefore(
    held: ReadonlyMap<number, Held>,
    partitions: readonly number[],
    from: LookFrom,
  ): Promise<boolean> {
    const beyond = partitions.map((partition) => this.#before(partition, from));
    const { due, othersRun } = await this.#look(from === 'BEGINNING' ? 'look-through' : 'look-back', beyond);
    for (const { partition, dueAtMs } of due) {
      const part = held.get(partition);
      if (part === undefined || !this.holds(part)) continue;
      this.#due.expect(partition, dueAtMs);
      this.#positions.back(partition, dueAtMs);
    }
    return othersRun;
  }

  async #look(name: string, beyond: readonly Beyond[]): ReturnType<ExecutionStore['peek']> {
    const { store, availability, executor, clock, databaseTime } = this.#options;
    const own = this.#ownIncarnations();
    const sentAtMs = clock.monotonicMs();
    const seen = await availability.once(name, () => store.peek(beyond, HORIZON_MS, own, executor.claimable));
    databaseTime.observe(seen.dbNowMs, sentAtMs);
    return seen;
  }

  #before(partition: number, from: LookFrom): Beyond {
    const beyond = this.#positions.beyond(partition);
    if (from === 'BEGINNING' || beyond.after === undefined) return { ...beyond, after: undefined };
    const recentMs = Math.floor(this.#options.databaseTime.nowMs() - LATE_COMMIT_MS);
    return beyond.after.dueAtMs < recentMs ? beyond : { ...beyond, after: { dueAtMs: recentMs, id: 0 } };
  }

  #ownIncarnations(): string[] {
    const held = this.held.map(({ incarnation }) => incarnation);
    return [...new Set([...this.#options.ownIncarnations.all, ...held])];
  }

  async #claim(partitions: readonly number[], limit: number): Promise<void> {
    const { store, availability, executor, clock, databaseTime, ownIncarnations, random, workerId } =
      this.#options;
    const held = partitions.flatMap((partition) => {
      const part = this.#held.get(partition);
      return part === undefined ? [] : [{ ...part, ...this.#positions.beyond(partition) }];
    });
    const claimId = random.uuid();
    const sentAtMs = clock.monotonicMs();
    const fresh = freshReply(clock);
    // Whatever the claim takes, the next due time is another: to be read again.
    this.#forgetHeld(partitions);
    this.#positions.looking(partitions);
    ownIncarnations.claiming(held);
    let result: ClaimResult;
    this.#claimInFlight = claimId;
    try {
      result = await availability.once('claim', () =>
        store.claim({ claimId, workerId, held, limit, names: executor.claimable }),
      );
    } catch (error) {
      this.#claimLostAtMs = clock.monotonicMs();
      if (error instanceof StatementCancelledError) {
        this.#claimSize.cutOff(partitions.length);
        // It would be the first again and again.
        if (partitions.length === 1) this.#leaveAside(partitions, clock.monotonicMs() - sentAtMs);
      }
      throw error;
    } finally {
      this.#claimInFlight = undefined;
    }
    databaseTime.observe(result.dbNowMs, sentAtMs);
    this.#claimSize.answered(partitions.length, clock.monotonicMs() - sentAtMs);
    this.#positions.claimed(result);
    // Reading the payloads tells whose the attempts are by now.
    executor.accept(fresh() ? result.tasks : result.tasks.map(({ payload: _, ...task }) => task));
    if (this.#claimSize.claimed(result, limit))
      for (const part of held)
        if (this.holds(part))
          this.#due.presumeDue(part.partition, this.#positions.of(part.partition)?.dueAtMs ?? -Infinity);
    const stood = new Set(result.held);
    const lost = held.filter((part) => !stood.has(part.partition));
    if (lost.length > 0) this.#fenceLost(lost);
  }

  #fenceLost(lost: readonly Held[]): void {
    for (const part of lost) {
      if (!this.holds(part)) continue;
      this.#held.delete(part.partition);
      this.#drop(part.partition);
    }
    this.#options.logger.info(
      { partitions: lost.map(({ partition }) => partition) },
      'Partitions owned by another worker by now',
    );
    this.#options.onFenceLost(lost);
  }

  #drop(partition: number): void {
    this.#due.drop(partition);
    this.#positions.drop(partition);
    this.#firstLooks.drop(partition);
    this.#owed.delete(partition);
  }

  #forgetHeld(partitions: readonly number[]): void {
    for (const partition of partitions) if (this.#held.has(partition)) this.#due.forget(partition);
  }

  #idleMs(): number {
    if (this.#stopped || this.#due.hasUnknown) return 0;
    // Whoever is under way wakes us.
    const untilLookMs = Math.min(this.#lookBack.untilMs(), this.#firstLooks.untilMs(), HORIZON_MS);
    if (this.#options.executor.free === 0) return untilLookMs;
    const untilDueMs = this.#due.nextMs() - this.#options.databaseTime.nowMs();
    return Math.max(0, Math.min(untilLookMs, untilDueMs));
  }
}
