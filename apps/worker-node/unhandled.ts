import type { Clock } from '../../libs/core/clock.ts';
import type { ExecutionStore, Held } from '../../libs/db/stores.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import type { Availability } from './availability.ts';

export const UNHANDLED_LOOK_MS = 30_000;
/**
 * Of all the time, at most, that looks may take that rest no longer than below: each goes through all that has ended and that no vacuum can remove while somebody
 * holds a transaction open, until a statement's timeout.
 */
const SHARE = 0.02;
const MAX_REST_MS = 300_000;
/** Said anew so often though nothing has changed. */
const SAY_MS = 600_000;
const REMEDY =
  'until it is replaced by one that has, or a tag is required that only workers with the handler carry; all should have the same';

export interface UnhandledOptions {
  readonly store: Pick<ExecutionStore, 'unhandled'>;
  readonly availability: Availability;
  readonly handledNames: readonly string[];
  readonly held: () => readonly Held[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Counts the due tasks in this worker's partitions that have no handler here, and says so when that changes. */
export class Unhandled {
  readonly #options: UnhandledOptions;
  #said = '[]';
  #saidAtMs = -Infinity;
  #notBeforeMs = -Infinity;

  constructor(options: UnhandledOptions) {
    this.#options = options;
  }

  /** One look, where it is time for one. Rejects with StoreUnavailableError while the database is away. */
  async runOnce(): Promise<void> {
    const { clock, logger } = this.#options;
    if (clock.monotonicMs() < this.#notBeforeMs) return;
    const names = await this.#look();
    const nowMs = clock.monotonicMs();
    const found = JSON.stringify(names);
    if (found === this.#said && (names.length === 0 || nowMs - this.#saidAtMs < SAY_MS)) return;
    this.#said = found;
    this.#saidAtMs = nowMs;
    if (names.length === 0) logger.info('No event of this worker’s partitions waits for a handler any more');
    else
      logger.warn(
        { waiting: Object.fromEntries(names.map(({ name, count }) => [name, count])) },
        `Events wait for a handler that this worker does not have: ${REMEDY}`,
      );
  }

  async #look(): ReturnType<ExecutionStore['unhandled']> {
    const { store, availability, handledNames, held, clock } = this.#options;
    const partitions = held().map(({ partition }) => partition);
    if (partitions.length === 0) return [];
    const beganAtMs = clock.monotonicMs();
    try {
      return await availability.once('unhandled', () => store.unhandled(partitions, handledNames));
    } finally {
      const nowMs = clock.monotonicMs();
      this.#notBeforeMs = nowMs + Math.min((nowMs - beganAtMs) * (1 / SHARE - 1), MAX_REST_MS);
    }
  }
}
