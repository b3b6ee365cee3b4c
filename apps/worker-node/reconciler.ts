import type { ExecutionStore } from '../../libs/db/stores.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import type { Availability } from './availability.ts';
import type { Executor } from './executor.ts';
import type { LostClaims } from './lost-claims.ts';

/**
 * Holds what this worker runs against what the database says it runs, and acts on the difference:
 * - running there under a claim whose reply was lost → adopted;
 * - running here, and not there any more → the handler is told that it was overtaken;
 * - running here, and a user wants it gone → the handler is told.
 */
export class Reconciler {
  readonly #store: ExecutionStore;
  readonly #availability: Availability;
  readonly #executor: Executor;
  readonly #lostClaims: LostClaims;
  readonly #logger: Logger;

  constructor(options: {
    store: ExecutionStore;
    availability: Availability;
    executor: Executor;
    lostClaims: LostClaims;
    logger: Logger;
  }) {
    this.#store = options.store;
    this.#availability = options.availability;
    this.#executor = options.executor;
    this.#lostClaims = options.lostClaims;
    this.#logger = options.logger;
  }

  /** One comparison. Rejects with StoreUnavailableError while the database is away. */
  async runOnce(): Promise<void> {
    const incarnations = [...new Set([...this.#executor.incarnations(), ...this.#lostClaims.incarnations()])];
    if (incarnations.length === 0) return;
    // What starts after this statement was sent may be missing from its answer.
    const runningBefore = this.#executor.running();
    const rows = await this.#availability.once(() => this.#store.running(incarnations));

    const adopted = rows.filter((row) => this.#lostClaims.adopt(row.claimId, row.id));
    if (adopted.length > 0) {
      this.#logger.info(
        { taskIds: adopted.map(({ id }) => id) },
        'Running what a claim took whose reply was lost',
      );
      this.#executor.accept(adopted);
    }
    const there = new Set(rows.map(({ id, attempt }) => `${id}/${attempt}`));
    for (const { id, attempt } of runningBefore) {
      if (!there.has(`${id}/${attempt}`)) this.#executor.abort(id, attempt, 'lost');
    }
    for (const { id, attempt, cancelRequested } of rows) {
      if (cancelRequested) this.#executor.abort(id, attempt, 'cancelled');
    }
  }
}
