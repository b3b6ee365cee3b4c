import type { Random } from '../../libs/core/random.ts';
import type { Beyond, ExecutionStore, Held, Recovered } from '../../libs/db/stores.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import type { Availability } from './availability.ts';
import type { OwnIncarnations } from './own-incarnations.ts';

export interface RecoveryOptions {
  readonly store: ExecutionStore;
  readonly availability: Availability;
  readonly ownIncarnations: OwnIncarnations;
  readonly random: Random;
  readonly logger: Logger;
}

/**
 * Ends the attempts of crashed workers in the partitions this worker owns now. A crash costs a retry like any
 * other failure, see afterLoss(): a task which kills its worker ends as FAILED instead of going round for ever.
 */
export class Recovery {
  readonly #options: RecoveryOptions;

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  /** One pass. Rejects with StoreUnavailableError while the database is away. */
  async runOnce(held: readonly (Held & Pick<Beyond, 'oldestRecord'>)[]): Promise<Recovered[]> {
    const { store, availability, ownIncarnations, random, logger } = this.#options;
    if (held.length === 0) return [];
    const recovered = await availability.once('recover', () =>
      store.recover({ held, own: ownIncarnations.all, jitter: random.next() }),
    );
    for (const { id, partition, attempt, fromWorkerId, became } of recovered) {
      logger.warn(
        { taskId: id, partition, attempt, from: fromWorkerId, became },
        'Recovered event of a crashed worker',
      );
    }
    return recovered;
  }
}
