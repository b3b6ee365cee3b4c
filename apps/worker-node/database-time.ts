import type { Clock } from '../../libs/core/clock.ts';

/** A sample older than this no longer counts, however good it was: clocks drift. */
const SAMPLE_LIFE_MS = 30_000;
/** Two clocks that nobody has set disagree by less than this within a sample's life. */
const DRIFT_MS = 2;

/**
 * The database's clock as seen from here: an offset to the local monotonic clock, learnt from the replies that
 * carry the database's time. The true offset lies within half a round trip of each sample, so the sample of
 * the shortest recent round trip is kept (the idea of NTP's clock filter, RFC 5905 section 10), until a reply
 * shows that it can no longer be right: a clock was set, or this machine slept.
 */
export class DatabaseTime {
  readonly #clock: Clock;
  #sample: { offsetMs: number; roundTripMs: number; takenAtMs: number } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * @param dbNowMs the database's time in a reply
   * @param sentAtMs when its request was sent, by `clock.monotonicMs()`
   */
  observe(dbNowMs: number, sentAtMs: number): void {
    const takenAtMs = this.#clock.monotonicMs();
    const roundTripMs = takenAtMs - sentAtMs;
    const offsetMs = dbNowMs - (sentAtMs + roundTripMs / 2);
    const best = this.#sample;
    const stands =
      best !== undefined &&
      takenAtMs - best.takenAtMs < SAMPLE_LIFE_MS &&
      best.roundTripMs <= roundTripMs &&
      Math.abs(best.offsetMs - offsetMs) <= roundTripMs / 2 + DRIFT_MS;
    if (!stands) this.#sample = { offsetMs, roundTripMs, takenAtMs };
  }

  /** Now by the database's clock, in milliseconds since the epoch; this machine's wall clock until a reply has been seen. */
  nowMs(): number {
    return this.#sample === undefined
      ? this.#clock.wallMs()
      : this.#clock.monotonicMs() + this.#sample.offsetMs;
  }
}
