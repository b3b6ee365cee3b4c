/** Time as a port: production passes the system's, tests and simulations one they move by hand. */

export interface Timer {
  /** Idempotent; the callback never runs afterwards. */
  cancel(): void;
}

export interface Clock {
  /** Whole milliseconds since the Unix epoch. May step in either direction: for display and storage only. */
  wallMs(): number;
  /** Milliseconds since some fixed origin. Never goes back: for every timeout, deadline and comparison. */
  monotonicMs(): number;
  /** Runs `callback` once, no sooner than `delayMs` from now. */
  schedule(delayMs: number, callback: () => void): Timer;
}

/**
 * Resolves after `delayMs`, or at once when `signal` is or becomes aborted.
 * Never rejects: a caller that must know asks `signal.aborted` afterwards.
 */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) {
      resolve();
      return;
    }
    const done = () => {
      timer.cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.schedule(delayMs, done);
    signal?.addEventListener('abort', done, { once: true });
  });
}
