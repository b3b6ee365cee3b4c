import type { Clock } from '../../libs/core/clock.ts';
import type { Held } from '../../libs/db/stores.ts';

/** Longer than any claim statement can live on in the server after its connection is gone. */
export const CLAIM_LIFE_MS = 120_000;

type Part = Pick<Held, 'incarnation' | 'partition'>;

/**
 * The incarnations of this process that the database may have something running under, and in which partitions: those that claims were
 * made under and in, until the database has shown, long enough after the last claim, that nothing is left. What runs
 * under them is this process' own business: it renews their leases, and recovers nothing of theirs.
 */
export class OwnIncarnations {
  readonly #clock: Clock;
  /** When last a claim was made there, or could be. */
  readonly #claimedAtMs = new Map<string, Map<number, number>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get all(): readonly string[] {
    return [...this.#claimedAtMs.keys()];
  }

  /** Where, under any of them. */
  get partitions(): readonly number[] {
    return [...new Set([...this.#claimedAtMs.values()].flatMap((parts) => [...parts.keys()]))];
  }

  /** A claim of these is about to be sent, or runs. */
  claiming(parts: readonly Part[]): void {
    const nowMs = this.#clock.monotonicMs();
    for (const { incarnation, partition } of parts) {
      let claimed = this.#claimedAtMs.get(incarnation);
      if (claimed === undefined) this.#claimedAtMs.set(incarnation, (claimed = new Map<number, number>()));
      claimed.set(partition, nowMs);
    }
  }

  /**
   * Claims in these can still be made, or still commit: a server that stood still for minutes goes on with the one it was at. What was
   * claimed under and in stays this process' own for as long, and for as long again as a claim may live.
   */
  mayClaim(held: readonly Part[]): void {
    const nowMs = this.#clock.monotonicMs();
    for (const { incarnation, partition } of held) {
      const claimed = this.#claimedAtMs.get(incarnation);
      if (claimed?.has(partition)) claimed.set(partition, nowMs);
    }
  }

  /**
   * The database has answered what runs, under these incarnations and in these partitions: only this. By itself that proves
   * nothing of the rest, since a claim whose reply was lost may commit yet; it does once such a claim can no longer be.
   * @param askedAtMs when it was asked, by the monotonic clock: the answer may be read much later, and knows nothing of what has committed since
   */
  runsOnly(running: readonly Part[], askedAtMs: number): void {
    const runs = new Set(running.map(({ incarnation, partition }) => `${incarnation}/${partition}`));
    for (const [incarnation, parts] of this.#claimedAtMs) {
      for (const [partition, claimedAtMs] of parts)
        if (askedAtMs - claimedAtMs >= CLAIM_LIFE_MS && !runs.has(`${incarnation}/${partition}`))
          parts.delete(partition);
      if (parts.size === 0) this.#claimedAtMs.delete(incarnation);
    }
  }
}
