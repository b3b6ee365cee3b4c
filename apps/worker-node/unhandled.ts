import type { Clock } from '../../libs/core/clock.ts';
import type { ExecutionStore, Held } from '../../libs/db/stores.ts';
import type { Logger } from '../../libs/runtime/logger.ts';

export const UNHANDLED_LOOK_MS = 30_000;
/** Said anew so often though nothing has changed. */
const SAY_MS = 600_000;
const REMEDY =
  'until it is replaced by one that has, or a tag is required that only workers with the handler carry; all should have the same';

export interface UnhandledOptions {
  readonly store: Pick<ExecutionStore, 'unhandled'>;
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

  constructor(options: UnhandledOptions) {
    this.#options = options;
  }

  /** One look. Rejects with StoreUnavailableError while the database is away. */
  async runOnce(): Promise<void> {
    const { store, handledNames, held, clock, logger } = this.#options;
    const partitions = held().map(({ partition }) => partition);
    const names = partitions.length === 0 ? [] : await store.unhandled(partitions, handledNames);
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
}
