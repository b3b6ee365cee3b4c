import { backoffMs } from '../../libs/core/backoff.ts';
import type { Clock } from '../../libs/core/clock.ts';
import type { Random } from '../../libs/core/random.ts';
import { MAX_RETRIES, RETRY_BACKOFF } from '../../libs/core/task.ts';
import type { ExecutionStore, Held, Recovered } from '../../libs/db/stores.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import type { Availability } from './availability.ts';

export interface RecoveryOptions {
  readonly store: ExecutionStore;
  readonly availability: Availability;
  readonly leaseMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/**
 * Ends the attempts of crashed workers in the partitions this worker owns now. A crash costs a retry like any
 * other failure; the first one is made good at once, later ones back off, so that a task which kills its
 * worker ends as FAILED instead of going round for ever.
 */
export class Recovery {
  readonly #options: RecoveryOptions;
  /** Unknown until this worker's own lease has been renewed for the first time. */
  #notBeforeMs = Infinity;

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  /**
   * This worker's lease was renewed. After a gap longer than the lease (the first renewal counts as one) the
   * database may have been away from everybody: others get one lease length to renew theirs before any of
   * their tasks is taken for dead.
   */
  leaseRenewed(unbroken: boolean): void {
    if (!unbroken) this.#notBeforeMs = this.#options.clock.monotonicMs() + this.#options.leaseMs;
  }

  /** One pass. Rejects with StoreUnavailableError while the database is away. */
  async runOnce(held: readonly Held[]): Promise<Recovered[]> {
    const { store, availability, leaseMs, clock, random, logger } = this.#options;
    if (held.length === 0 || clock.monotonicMs() < this.#notBeforeMs) return [];
    const delaysMs = Array.from({ length: MAX_RETRIES }, (_, failures) =>
      failures === 0 ? 0 : backoffMs(failures, random, RETRY_BACKOFF),
    );
    const recovered = await availability.once(() => store.recover(held, leaseMs, delaysMs));
    for (const { id, partition, attempt, fromWorkerId, became } of recovered) {
      logger.warn(
        { taskId: id, partition, attempt, from: fromWorkerId, became },
        'Recovered event of a crashed worker',
      );
    }
    return recovered;
  }
}
