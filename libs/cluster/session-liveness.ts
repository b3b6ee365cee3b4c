import type { Clock } from '../core/clock.ts';

/** An instant by both clocks. */
export interface Instant {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

/** The part of the session timeout a leader may rely on; the rest is for clocks that run at different rates. */
const LEASE_FRACTION = 0.8;

/**
 * How long this client has gone without proof that its session lives. The server counts the timeout from when
 * it *received* the last request, so a client that counts from when it *sent* the last acknowledged one is
 * never the more optimistic of the two (Gray and Cheriton, "Leases", 1989).
 *
 * Elapsed time is the longer of the monotonic and the wall clock's: the monotonic one may stand still while the
 * machine sleeps, the wall clock may be set back.
 *
 * Its limit: a server cut off from its ensemble answers for some ticks more without its leader hearing of the
 * session. Writes are therefore fenced besides (by the term, or in Postgres); the lease only makes that rare.
 */
export class SessionLiveness {
  readonly #clock: Clock;
  #lastAcknowledged: Instant | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** To be taken before a request is sent, and given to {@link acknowledged} when its answer comes. */
  now(): Instant {
    return { monotonicMs: this.#clock.monotonicMs(), wallMs: this.#clock.wallMs() };
  }

  /** The server has answered a request sent at `sent`. */
  acknowledged(sent: Instant): void {
    const last = this.#lastAcknowledged;
    if (last === undefined || sent.monotonicMs > last.monotonicMs) this.#lastAcknowledged = sent;
  }

  /** Whether a session was ever acknowledged. */
  get established(): boolean {
    return this.#lastAcknowledged !== undefined;
  }

  /** Whether the session can be relied on now, given its timeout. */
  leaseValid(sessionTimeoutMs: number): boolean {
    return this.#silentMs() < LEASE_FRACTION * sessionTimeoutMs;
  }

  /** Whether the server may have expired the session, given its timeout. `false` before there was one. */
  lost(sessionTimeoutMs: number): boolean {
    return this.established && this.#silentMs() > sessionTimeoutMs;
  }

  #silentMs(): number {
    const last = this.#lastAcknowledged;
    if (last === undefined) return Infinity;
    const now = this.now();
    return Math.max(now.monotonicMs - last.monotonicMs, now.wallMs - last.wallMs);
  }
}
