import type { Clock } from './clock.ts';

/**
 * How one loop sleeps until something may have changed. A `notify` that comes while nobody waits is kept, so
 * none is lost between looking and waiting; several are one.
 */
export class Wakeup {
  readonly #clock: Clock;
  #notified = false;
  #wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  notify(): void {
    this.#notified = true;
    this.#wake?.();
  }

  /**
   * Resolves on the next `notify` (at once, where one is pending) or after `timeoutMs`; with whether it was the
   * former. One waiter at a time.
   */
  async wait(timeoutMs: number): Promise<boolean> {
    if (!this.#notified && timeoutMs > 0) {
      await new Promise<void>((resolve) => {
        const timer = this.#clock.schedule(timeoutMs, resolve);
        this.#wake = () => {
          timer.cancel();
          resolve();
        };
      });
      this.#wake = undefined;
    }
    const notified = this.#notified;
    this.#notified = false;
    return notified;
  }
}
