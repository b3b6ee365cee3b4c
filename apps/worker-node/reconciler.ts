import type { Clock } from '../../libs/core/clock.ts';
import type { Beyond, ExecutionStore, Held, RunningRow } from '../../libs/db/stores.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import type { Availability } from './availability.ts';
import type { Executor } from './executor.ts';
import { CLAIM_LIFE_MS } from './own-incarnations.ts';
import type { OwnIncarnations } from './own-incarnations.ts';

export interface ReconcilerOptions {
  readonly store: ExecutionStore;
  readonly availability: Availability;
  readonly executor: Executor;
  readonly ownIncarnations: OwnIncarnations;
  /** What may be claimed in. */
  readonly held: () => readonly Held[];
  /** How far claims have got in a partition: before its oldest record there is nothing to compare. */
  readonly beyond: (partition: number) => Beyond;
  /** The claim that is being made at this moment. */
  readonly claimInFlight: () => string | undefined;
  /** When last a claim was not answered, by the monotonic clock: what it took may be running as ours. */
  readonly claimLostAtMs: () => number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Within so long a handler is told of what nobody has notified this worker of: that it was cancelled, or overtaken. Looks that
 * take longer than 50 ms are made less often, down to one every 5 s; but for 2 minutes after a claim was lost.
 */
export const RECONCILE_MS = 1_000;
/** How often it is considered. While all that runs here has begun more recently, nothing is looked at: of very many, most end sooner. */
export const CONSIDER_MS = RECONCILE_MS / 2;
/** Where nothing has run for long and no claim was lost, there is nothing to compare; looked at now and then all the same. */
const IDLE_LOOK_MS = 30_000;
/**
 * Of all the time that looks may take, with a pause of at most so long: what has ended since the oldest began that runs is
 * gone over as well until a vacuum has passed.
 */
const SHARE = 0.05;
const MAX_PAUSE_MS = 5_000;

const attemptOf = ({ id, attempt }: { id: number; attempt: number }) => `${id}/${attempt}`;

/**
 * Holds what this worker runs against what the database says it runs, and acts on the difference:
 * - running here, and not there any more → the handler is told that it was overtaken;
 * - running here, and a user wants it gone → the handler is told;
 * - running there and not here → a claim's reply was lost: adopted, and run.
 *
 * The last is a suspicion when first seen: the attempt may have been accepted and ended between the database's
 * answer and our look at it. Seen again by the next look, it cannot have been: an end is recorded before it is
 * forgotten here.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  #suspects = new Set<string>();
  #lookedAtMs = -Infinity;
  #notBeforeMs = -Infinity;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** One comparison. Rejects with StoreUnavailableError while the database is away. */
  async runOnce(): Promise<void> {
    const { executor, logger, claimInFlight } = this.#options;
    if (!this.#mayDiffer()) return;
    // What starts after this statement was sent may be missing from its answer.
    const runningBefore = executor.running();
    const claimBefore = claimInFlight();
    const rows = await this.#rows();
    const there = new Set(rows.map(attemptOf));
    for (const task of runningBefore) {
      if (!there.has(attemptOf(task))) executor.abort(task.id, task.attempt, 'lost');
    }
    for (const { id, attempt, cancelRequested } of rows) {
      if (cancelRequested) executor.abort(id, attempt, 'cancelled');
    }
    const claims = [claimBefore, claimInFlight()];
    const unknown = rows.filter((row) => !executor.has(row.id, row.attempt) && !claims.includes(row.claimId));
    const orphans = unknown.filter((row) => this.#suspects.has(attemptOf(row)));
    this.#suspects = new Set(unknown.filter((row) => !orphans.includes(row)).map(attemptOf));
    if (orphans.length === 0) return;
    logger.info({ taskIds: orphans.map(({ id }) => id) }, 'Running what a claim took whose reply was lost');
    executor.accept(orphans);
    for (const { id, attempt, cancelRequested } of orphans)
      if (cancelRequested) executor.abort(id, attempt, 'cancelled');
  }

  /** What the database says we run though we claim and run nothing any more: to be handed back. */
  async leftOver(): Promise<RunningRow[]> {
    return this.#rows();
  }

  #mayDiffer(): boolean {
    const { executor, claimLostAtMs, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const restedMs = nowMs - this.#lookedAtMs;
    // Every second time it is considered; timers are not exact.
    if (restedMs < RECONCILE_MS - CONSIDER_MS / 2) return false;
    if (this.#suspects.size > 0 || nowMs - claimLostAtMs() < CLAIM_LIFE_MS) return true;
    if (nowMs < this.#notBeforeMs) return false;
    return executor.longestMs >= CONSIDER_MS || restedMs >= IDLE_LOOK_MS;
  }

  async #rows(): Promise<RunningRow[]> {
    const { store, availability, ownIncarnations, held, beyond, clock } = this.#options;
    ownIncarnations.mayClaim(held());
    const incarnations = ownIncarnations.all;
    if (incarnations.length === 0) return [];
    const beganAtMs = clock.monotonicMs();
    const within = ownIncarnations.partitions.map(beyond);
    try {
      const rows = await availability.once('running', () => store.running(incarnations, within));
      this.#lookedAtMs = clock.monotonicMs();
      ownIncarnations.runsOnly(rows, beganAtMs);
      return rows;
    } finally {
      // After one that failed as well: it may have taken all the time that a statement may.
      const nowMs = clock.monotonicMs();
      const tookMs = nowMs - beganAtMs;
      this.#notBeforeMs = nowMs + Math.min(tookMs / SHARE - tookMs, MAX_PAUSE_MS);
    }
  }
}
