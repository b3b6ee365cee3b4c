import { sleep } from './clock.ts';
import type { Clock } from './clock.ts';

/**
 * How one loop sleeps until something may have changed. A `notify` that comes while nobody waits is kept, so
 * none is lost between looking and waiting; several are one.
 */
export class Wakeup {
  readonly #clock: Clock;
  #notified = false;
  #wake: AbortController | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  notify(): void {
    this.#notified = true;
    this.#wake?.abort();
  }

  /** Resolves on the next `notify` (at once, where one is pending) or after `timeoutMs`. One waiter at a time. */
  async wait(timeoutMs: number): Promise<void> {
    if (!this.#notified && timeoutMs > 0) {
      this.#wake = new AbortController();
      await sleep(this.#clock, timeoutMs, this.#wake.signal);
      this.#wake = undefined;
    }
    this.#notified = false;
  }
}
