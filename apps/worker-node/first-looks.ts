import type { Clock } from '../../libs/core/clock.ts';
import { StatementCancelledError } from '../../libs/db/stores.ts';
import { Beside } from './beside.ts';

/** After the database was away. */
const RETRY_MS = 100;
/** Of all the time, at most, that goes to partitions each of which takes longer than a statement may. */
const SHARE = 0.2;

/** A partition that waits to be looked at; another object each time that it is begun with. */
interface Waiting {
  /** With so many, itself included, it may be looked at in one statement; 0: it has taken too long even alone. */
  readonly together: number;
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
 * cuts off more, and those that cannot be passed even alone now and then, in turn, after all others.
 */
export class FirstLooks {
  readonly #look: FirstLooksOptions['look'];
  readonly #clock: Clock;
  readonly #beside: Beside;
  readonly #waiting = new Map<number, Waiting>();
  #notBeforeMs = -Infinity;
  /** For those that have taken too long even alone. */
  #aloneNotBeforeMs = -Infinity;

  constructor({ look, clock, onEnd }: FirstLooksOptions) {
    this.#look = look;
    this.#clock = clock;
    this.#beside = new Beside(onEnd);
  }

  /** `partition` is to be looked at, from now on: a look that is under way does not count. */
  begin(partition: number): void {
    this.#wait(partition, Infinity);
  }

  /** These are, after a statement that looked there, or claimed, has been cut off: fewer at a time, and one alone not at once. */
  tookTooLong(partitions: readonly number[], tookMs: number): void {
    this.#halve(partitions.length, partitions, tookMs);
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
    const atMs = Math.max(this.#notBeforeMs, this.#most() === 0 ? this.#aloneNotBeforeMs : -Infinity);
    return Math.max(0, atMs - this.#clock.monotonicMs());
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

  #wait(partition: number, together: number): void {
    // Last in the order of the map.
    this.#waiting.delete(partition);
    this.#waiting.set(partition, { together });
  }

  /** @param waiting those of `size` that still wait */
  #halve(size: number, waiting: readonly number[], tookMs: number): void {
    for (const partition of waiting) this.#wait(partition, size >> 1);
    if (size === 1) this.#aloneNotBeforeMs = this.#clock.monotonicMs() + tookMs * (1 / SHARE - 1);
  }

  #most(): number {
    return Math.max(...[...this.#waiting.values()].map(({ together }) => together));
  }

  /** Those first that may be looked at with the most others. */
  #next(): ReadonlyMap<number, Waiting> {
    const most = this.#most();
    return new Map(
      [...this.#waiting].filter(([, { together }]) => together === most).slice(0, Math.max(1, most)),
    );
  }

  async #run(looked: ReadonlyMap<number, Waiting>): Promise<void> {
    const beganAtMs = this.#clock.monotonicMs();
    const waits = (partition: number) => this.#waiting.get(partition) === looked.get(partition);
    try {
      await this.#look([...looked.keys()], waits);
      for (const partition of looked.keys()) if (waits(partition)) this.#waiting.delete(partition);
    } catch (error) {
      const nowMs = this.#clock.monotonicMs();
      if (!(error instanceof StatementCancelledError)) this.#notBeforeMs = nowMs + RETRY_MS;
      else this.#halve(looked.size, [...looked.keys()].filter(waits), nowMs - beganAtMs);
      throw error;
    }
  }
}
