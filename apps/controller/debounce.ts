/**
 * Waits until a situation has been quiet: `quietMs` since it last changed, but never longer than `maxMs` since
 * it began. Holds times only, no timer: whoever asks again after `remainingMs` gets 0.
 */
export class Debounce {
  readonly #quietMs: number;
  readonly #maxMs: number;
  #since: { firstMs: number; lastMs: number; key: string } | undefined;

  constructor({ quietMs, maxMs }: { readonly quietMs: number; readonly maxMs: number }) {
    this.#quietMs = quietMs;
    this.#maxMs = maxMs;
  }

  /**
   * How long to wait yet, 0 for no longer, in milliseconds.
   * @param key names the situation: another key than at the last call is a change
   * @param nowMs monotonic
   */
  remainingMs(key: string, nowMs: number): number {
    this.#since ??= { firstMs: nowMs, lastMs: nowMs, key };
    if (this.#since.key !== key) this.#since = { ...this.#since, lastMs: nowMs, key };
    const { firstMs, lastMs } = this.#since;
    return Math.max(0, Math.min(lastMs + this.#quietMs, firstMs + this.#maxMs) - nowMs);
  }

  /** The situation is over; the next one begins anew. */
  reset(): void {
    this.#since = undefined;
  }
}
