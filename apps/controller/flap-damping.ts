/** Half a penalty is forgotten in this time. */
const HALF_LIFE_MS = 300_000;
/** The third loss within about seven minutes goes beyond it. */
const QUARANTINE_ABOVE = 2;
const RELEASE_AT = 1;
/** So that quarantine ends ten minutes after the last loss, however many there were. */
const MOST = 4;
/** Not worth remembering. */
const FORGET_BELOW = 0.05;

/**
 * Who was lost too often lately: route flap damping (RFC 2439) for workers. Each loss adds 1 to a worker's penalty,
 * which decays by half every five minutes. Above 2 its quarantine begins; it ends by itself when the penalty has
 * come down to 1.
 *
 * ```
 *             penalty > 2
 *  TRUSTED ─────────────────▶ QUARANTINED
 *     ▲                            │
 *     └──────── penalty ≤ 1 ───────┘
 * ```
 */
export class FlapDamping {
  readonly #workers = new Map<string, { penalty: number; atMs: number; quarantined: boolean }>();

  /** Worker `id` was lost at `nowMs` (monotonic). Returns whether its quarantine begins with that. */
  lost(id: string, nowMs: number): boolean {
    const before = this.#workers.get(id);
    const penalty = Math.min(MOST, 1 + (before === undefined ? 0 : decayed(before, nowMs)));
    const already = this.quarantined(nowMs).has(id);
    const quarantined = already || penalty > QUARANTINE_ABOVE;
    this.#workers.set(id, { penalty, atMs: nowMs, quarantined });
    return quarantined && !already;
  }

  /** Worker `id` is in quarantine for another `restMs` from `nowMs` (monotonic) on, and ten minutes at most. */
  quarantine(id: string, restMs: number, nowMs: number): void {
    const penalty = Math.min(MOST, RELEASE_AT * 2 ** (restMs / HALF_LIFE_MS));
    this.#workers.set(id, { penalty, atMs: nowMs, quarantined: true });
  }

  /** The workers in quarantine, each with how long it has to stay there, in milliseconds. */
  quarantined(nowMs: number): Map<string, number> {
    const found = new Map<string, number>();
    for (const [id, worker] of this.#workers) {
      const penalty = decayed(worker, nowMs);
      if (penalty < FORGET_BELOW) this.#workers.delete(id);
      else if (worker.quarantined && penalty > RELEASE_AT) {
        found.set(id, Math.ceil(HALF_LIFE_MS * Math.log2(penalty / RELEASE_AT)));
      } else worker.quarantined = false;
    }
    return found;
  }
}

function decayed({ penalty, atMs }: { penalty: number; atMs: number }, nowMs: number): number {
  return penalty * 2 ** ((atMs - nowMs) / HALF_LIFE_MS);
}
