import type { RemovedFinished } from '../../libs/db/stores.ts';

/** Tasks one call goes past: as many as take it some 20 ms. */
const ROWS = { least: 100, first: 500, most: 5_000 };
/** Ids: many of them may have no task any more. */
const MOST_SPAN = 2 ** 50;
/** A call that takes less may be given more, one that takes longer is given less. */
const QUICK_MS = 50;
const SLOW_MS = 150;
/**
 * Of the time, so much with a call under way: a twentieth removes up to 15,000 tasks a second. A half is more than can be
 * finished, though a busy worker hears of the end of a call late.
 */
const SHARE = { least: 0.05, most: 0.5 };
/** Walking for so long without coming near enough to the end, the share doubles. */
const WATCHED_MS = 60_000;
/** How long it may take to come to the end. */
const GOAL_MS = 3_600_000;
const LEAST_PAUSE_MS = 10;
const LEAST_IDLE_MS = 1_000;
const MOST_IDLE_MS = 60_000;
const RETRY_MS = 1_000;

/** How much a call for the removal of what has ended is to look at, and when the next one is made. */
export class RetentionPace {
  /** Tasks at most. */
  rows = ROWS.first;
  /** Ids at most. */
  span = ROWS.first;
  #share = SHARE.least;
  #watched: { readonly sinceMs: number; readonly toGoMs: number } | undefined;
  readonly #idleMs: number;

  /** @param keepMs how long tasks are kept */
  constructor(keepMs: number) {
    this.#idleMs = Math.min(Math.max(keepMs / 100, LEAST_IDLE_MS), MOST_IDLE_MS);
  }

  /** The share of its time for which the database is kept busy. */
  get share(): number {
    return this.#share;
  }

  /**
   * @param tookMs the call, there and back
   * @param nowMs by a monotonic clock
   * @returns how long to wait with the next, ms
   */
  after({ passed, toGoMs, done }: RemovedFinished, tookMs: number, nowMs: number): number {
    this.#fit(passed, tookMs, done);
    if (done) return this.idle();
    this.#watch(toGoMs, nowMs);
    // A reply that was late says little of the database.
    return Math.min(Math.max(LEAST_PAUSE_MS, tookMs * (1 / this.#share - 1)), this.#idleMs);
  }

  /** There is nothing to do, or somebody else does it. @returns how long to wait with the next, ms */
  idle(): number {
    this.#share = SHARE.least;
    this.#watched = undefined;
    return this.#idleMs;
  }

  /** The call has failed: it may have been too much. @returns how long to wait with the next, ms */
  failed(): number {
    this.rows = this.span = ROWS.least;
    return RETRY_MS;
  }

  #fit(passed: number, tookMs: number, done: boolean): void {
    const full = passed >= this.rows;
    if (tookMs > SLOW_MS) {
      this.rows = Math.max(ROWS.least, Math.floor(this.rows / 2));
      this.span = Math.floor(this.span / 2);
    } else if (tookMs < QUICK_MS && !done) {
      if (full) this.rows = Math.min(ROWS.most, this.rows * 2);
      else this.span = Math.min(MOST_SPAN, this.span * 2);
    }
    this.span = Math.max(this.rows, this.span);
  }

  #watch(toGoMs: number | null, nowMs: number): void {
    if (toGoMs === null) return;
    const before = (this.#watched ??= { sinceMs: nowMs, toGoMs });
    const elapsedMs = nowMs - before.sinceMs;
    // Further away than time alone has brought it: a new pass.
    const anew = toGoMs > before.toGoMs + elapsedMs + WATCHED_MS;
    if (anew) this.#watched = { sinceMs: nowMs, toGoMs };
    if (anew || elapsedMs < WATCHED_MS) return;
    const leftMs = (toGoMs * elapsedMs) / Math.max(before.toGoMs - toGoMs, 1);
    if (leftMs > GOAL_MS) this.#share = Math.min(SHARE.most, this.#share * 2);
    this.#watched = { sinceMs: nowMs, toGoMs };
  }
}
