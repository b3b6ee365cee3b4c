import type { ExecutionStore, Outcome, OutcomeResult } from '../../libs/db/stores.ts';
import type { Availability } from './availability.ts';

const MAX_BATCH = 500;

/**
 * Records how attempts ended. One batch is under way at a time; what ends meanwhile goes with the next, so the
 * batches grow with the load and an idle worker's outcome does not wait. The queue is bounded by the attempts
 * in flight.
 */
export class OutcomeWriter {
  readonly #store: ExecutionStore;
  readonly #availability: Availability;
  readonly #onSettled: (outcome: Outcome, result: OutcomeResult) => void;
  readonly #giveUp = new AbortController();
  #queue: Outcome[] = [];
  #flushing: Promise<void> | undefined;

  /** @param options.onSettled called for each outcome once the database has answered for it */
  constructor(options: {
    store: ExecutionStore;
    availability: Availability;
    onSettled: (outcome: Outcome, result: OutcomeResult) => void;
  }) {
    this.#store = options.store;
    this.#availability = options.availability;
    this.#onSettled = options.onSettled;
  }

  /** Queues `outcome`; it is written again and again while the database is away. */
  write(outcome: Outcome): void {
    this.#queue.push(outcome);
    this.#flushing ??= this.#flush();
  }

  /**
   * Resolves when the queue is empty; with false where it was given up before.
   * Rejects where the database refused a statement for a reason of its own.
   */
  async flushed(): Promise<boolean> {
    await this.#flushing;
    return this.#queue.length === 0;
  }

  /** Stops waiting for a database that is away: what is queued is left to recovery. */
  giveUp(): void {
    this.#giveUp.abort();
  }

  async #flush(): Promise<void> {
    try {
      while (this.#queue.length > 0 && !this.#giveUp.signal.aborted) {
        const batch = this.#queue.slice(0, MAX_BATCH);
        const results = await this.#availability.untilAvailable(
          'finish',
          () => this.#store.finish(batch),
          this.#giveUp.signal,
        );
        if (results === undefined) return;
        this.#queue = this.#queue.slice(batch.length);
        batch.forEach((outcome, i) => this.#onSettled(outcome, results[i] ?? 'refused'));
      }
    } finally {
      // In the same turn in which the queue was found empty: what is written next starts a flush of its own.
      this.#flushing = undefined;
    }
  }
}
