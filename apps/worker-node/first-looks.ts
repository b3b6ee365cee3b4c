import type { Clock } from '../../libs/core/clock.ts';
import { StatementCancelledError } from '../../libs/db/stores.ts';
import { Beside } from './beside.ts';

/** After the database was away. */
const RETRY_MS = 100;
/** Of all the time, at most, that goes to partitions each of which takes longer than a statement may. */
const SHARE = 0.2;

/** A partition that waits to be looked at; another object each time that it is begun with. */
interface Waiting {
  /** It has taken too long even alone. */
  alone: boolean;
  notBeforeMs: number;
}

export interface FirstLooksOptions {
  /**
   * Looks at some partitions, and sees to what it finds in those that still wait for this look when it has the answer (a partition may have
   * gone, and come again, meanwhile).
   */
  readonly look: (partitions: readonly number[], waits: (partition: number) => boolean) => Promise<void>;
  readonly clock: Clock;
  /** Called when a look has ended. */
  readonly onEnd: () => void;
}

/**
 * The partitions that are to be looked at before anything is claimed in them: those that are new to this worker, from their beginning,
 * and those that cannot be looked at while the loop waits. All that has ended there is passed by, if no vacuum can remove it since
 * somebody holds a transaction open: it may take long, so it is done beside the loop, a few partitions at a time where a statement's timeout
 * cuts off more, and each that cannot be passed even alone now and then, after all others.
 */
export class FirstLooks {
  readonly #look: FirstLooksOptions['look'];
  readonly #clock: Clock;
  readonly #beside: Beside;
  readonly #waiting = new Map<number, Waiting>();
  #most = Infinity;
  #notBeforeMs = -Infinity;

  constructor({ look, clock, onEnd }: FirstLooksOptions) {
    this.#look = look;
    this.#clock = clock;
    this.#beside = new Beside(onEnd);
  }

  /** `partition` is to be looked at, from now on: a look that is under way does not count. */
  begin(partition: number): void {
    this.#waiting.delete(partition);
    this.#waiting.set(partition, { alone: false, notBeforeMs: -Infinity });
  }

  /** It is not ours any more. */
  drop(partition: number): void {
    this.#waiting.delete(partition);
  }

  /** Whether `partition` waits for its look, or for its answer. */
  has(partition: number): boolean {
    return this.#waiting.has(partition);
  }

  /** How long until the next look begins, in ms; Infinity where there is none to make or one has to end before. */
  untilMs(): number {
    if (this.#waiting.size === 0 || this.#beside.underWay) return Infinity;
    let firstMs = Infinity;
    for (const { notBeforeMs } of this.#waiting.values()) firstMs = Math.min(firstMs, notBeforeMs);
    return Math.max(0, Math.max(firstMs, this.#notBeforeMs) - this.#clock.monotonicMs());
  }

  /** Begins a look where it is time for one. @throws what an earlier one failed with that is not the database being away */
  poll(): void {
    this.#beside.check();
    if (this.untilMs() > 0) return;
    const looked = this.#next();
    this.#beside.begin(() => this.#run(looked));
  }

  /** Resolves when none is under way. */
  ended(): Promise<void> {
    return this.#beside.ended();
  }

  #next(): ReadonlyMap<number, Waiting> {
    const all = [...this.#waiting];
    const together = all.filter(([, { alone }]) => !alone).slice(0, this.#most);
    if (together.length > 0) return new Map(together);
    return new Map(all.sort(([, a], [, b]) => a.notBeforeMs - b.notBeforeMs).slice(0, 1));
  }

  async #run(looked: ReadonlyMap<number, Waiting>): Promise<void> {
    const beganAtMs = this.#clock.monotonicMs();
    const waits = (partition: number) => this.#waiting.get(partition) === looked.get(partition);
    try {
      await this.#look([...looked.keys()], waits);
      for (const partition of looked.keys()) if (waits(partition)) this.#waiting.delete(partition);
      this.#most *= 2;
    } catch (error) {
      const nowMs = this.#clock.monotonicMs();
      if (!(error instanceof StatementCancelledError)) this.#notBeforeMs = nowMs + RETRY_MS;
      else if (looked.size > 1) this.#most = looked.size >> 1;
      else
        for (const waiting of looked.values()) {
          waiting.alone = true;
          waiting.notBeforeMs = nowMs + (nowMs - beganAtMs) * (1 / SHARE - 1);
        }
      throw error;
    }
  }
}
