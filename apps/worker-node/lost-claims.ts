import type { Clock } from '../../libs/core/clock.ts';
import type { TaskId } from '../../libs/core/task.ts';
import type { Held } from '../../libs/db/stores.ts';

/** Longer than any claim statement can live on in the server after its connection is gone. */
const LIFE_MS = 120_000;

interface LostClaim {
  readonly lostAtMs: number;
  readonly incarnations: readonly string[];
  readonly adopted: Set<TaskId>;
}

/**
 * Claims whose reply was lost. The server may have committed one, or may do so yet: its tasks would then be
 * RUNNING under a live lease with nobody to run them. So what the database shows under the id of a lost claim
 * is adopted, each task once.
 */
export class LostClaims {
  readonly #clock: Clock;
  readonly #claims = new Map<string, LostClaim>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(claimId: string, held: readonly Held[]): void {
    const incarnations = [...new Set(held.map(({ incarnation }) => incarnation))];
    this.#claims.set(claimId, { lostAtMs: this.#clock.monotonicMs(), incarnations, adopted: new Set() });
  }

  /** The incarnations that lost claims were made under. */
  incarnations(): string[] {
    for (const [id, claim] of this.#claims) {
      if (this.#clock.monotonicMs() - claim.lostAtMs > LIFE_MS) this.#claims.delete(id);
    }
    return [...new Set([...this.#claims.values()].flatMap(({ incarnations }) => incarnations))];
  }

  /** Whether task `id`, running under claim `claimId` as the database says, is to be adopted: true once. */
  adopt(claimId: string, id: TaskId): boolean {
    const claim = this.#claims.get(claimId);
    if (claim === undefined || claim.adopted.has(id)) return false;
    claim.adopted.add(id);
    return true;
  }
}
