import type { Clock } from '../../libs/core/clock.ts';
import type { TaskId } from '../../libs/core/task.ts';

const MAX_KEPT = 1_000;
/** The comparison with the database comes sooner. */
const KEPT_MS = 5_000;

/**
 * Cancellations of attempts that are not here: most are others', but a notification may also overtake the reply of the claim
 * it is about. The newest are kept, for a short time.
 */
export class EarlyCancellations {
  readonly #clock: Clock;
  /** When each came, the oldest first. */
  readonly #cameAtMs = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many are kept. */
  get size(): number {
    return this.#cameAtMs.size;
  }

  add(id: TaskId, attempt: number): void {
    const key = `${id}:${attempt}`;
    this.#cameAtMs.delete(key);
    this.#cameAtMs.set(key, this.#clock.monotonicMs());
    for (const oldest of this.#cameAtMs.keys()) {
      if (this.size <= MAX_KEPT && this.#isFresh(oldest)) break;
      this.#cameAtMs.delete(oldest);
    }
  }

  has(id: TaskId, attempt: number): boolean {
    // Usually there are none, and each task that is claimed is asked about.
    return this.size > 0 && this.#isFresh(`${id}:${attempt}`);
  }

  #isFresh(key: string): boolean {
    return this.#clock.monotonicMs() - (this.#cameAtMs.get(key) ?? -Infinity) < KEPT_MS;
  }
}
