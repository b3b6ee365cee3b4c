import type { Clock } from '../../libs/core/clock.ts';

/** Longer than any claim statement can live on in the server after its connection is gone. */
export const CLAIM_LIFE_MS = 120_000;

/**
 * The incarnations of this process that the database may have something running under: those that claims were
 * made under, until the database has shown, long enough after the last claim, that nothing is left. What runs
 * under them is this process' own business: it renews their leases, and recovers nothing of theirs.
 */
export class OwnIncarnations {
  readonly #clock: Clock;
  readonly #claimedAtMs = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get all(): readonly string[] {
    return [...this.#claimedAtMs.keys()];
  }

  /** A claim is about to be sent, or runs. */
  claiming(incarnations: readonly string[]): void {
    for (const incarnation of incarnations) this.#claimedAtMs.set(incarnation, this.#clock.monotonicMs());
  }

  /**
   * The database has answered what runs: nothing under `incarnation`. By itself that proves nothing, since a
   * claim whose reply was lost may commit yet; it does once such a claim can no longer be.
   */
  runsNothing(incarnation: string): void {
    const claimedAtMs = this.#claimedAtMs.get(incarnation);
    if (claimedAtMs === undefined || this.#clock.monotonicMs() - claimedAtMs < CLAIM_LIFE_MS) return;
    this.#claimedAtMs.delete(incarnation);
  }
}
