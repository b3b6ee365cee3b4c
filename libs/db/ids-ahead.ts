import type { Clock } from '../core/clock.ts';

/** Ids of the sequence that nobody else has, and how many partitions there were when they were taken from it. */
export interface ReservedIds {
  readonly ids: readonly number[];
  readonly partitions: number;
}

/**
 * What is not used within it is given up, and leaves a gap. Ids are in the order of what was stored but for so long, which
 * retention, that walks them, does not notice.
 */
const KEEP_MS = 1_000;

/**
 * The ids that INSERTs have reserved for those that follow at once. With them the partitions are known before an INSERT, so that
 * PL/pgSQL has not to compute the hash, which is a quarter of its time.
 */
export class IdsAhead {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #from: number;
  /** First in, first out, so that ids grow. */
  #ids: number[] = [];
  #partitions = 0;
  #keptUntilMs = -Infinity;

  /** @param from for how many tasks at a time on ids are reserved: one alone mostly has none that follow */
  constructor(clock: Pick<Clock, 'monotonicMs'>, from: number) {
    this.#clock = clock;
    this.#from = from;
  }

  /** @returns the ids for an INSERT of `count` tasks; null: it has to find them itself */
  take(count: number): ReservedIds | null {
    if (this.#clock.monotonicMs() > this.#keptUntilMs || this.#ids.length < count) this.clear();
    if (this.#ids.length === 0) return null;
    return { ids: this.#ids.splice(0, count), partitions: this.#partitions };
  }

  /** How many an INSERT of `count` tasks is to reserve: as many as it takes, or had it none, twice that. */
  wanted(count: number, taken: ReservedIds | null): number {
    if (count < this.#from) return 0;
    return taken === null ? 2 * count : count;
  }

  put({ ids, partitions }: ReservedIds): void {
    if (partitions !== this.#partitions) this.clear();
    this.#ids.push(...ids);
    this.#partitions = partitions;
    this.#keptUntilMs = this.#clock.monotonicMs() + KEEP_MS;
  }

  clear(): void {
    this.#ids = [];
  }
}
