import type { Clock } from '../../libs/core/clock.ts';
import { sleep } from '../../libs/core/clock.ts';
import type { TaskStore } from '../../libs/db/stores.ts';
import { StoreNotInitialisedError, StoreUnavailableError } from '../../libs/db/stores.ts';
import type { Logger } from '../../libs/runtime/logger.ts';

const PROBE_INTERVAL_MS = 500;

/**
 * Says in the log, once each, that the database went away and that it is back. Requests only report faults;
 * whether the database is back, a probe decides, so that an idle API notices as well.
 *
 * ```
 *  AVAILABLE ──a request or check() failed──▶ AWAY (probing) ──a probe succeeded──▶ AVAILABLE
 *  either ──close()──▶ CLOSED
 * ```
 */
export class StoreAvailability {
  readonly #store: Pick<TaskStore, 'readMeta'>;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #closing = new AbortController();
  /** Runs while AWAY; null while AVAILABLE. */
  #probing: Promise<void> | null = null;

  constructor(options: {
    readonly store: Pick<TaskStore, 'readMeta'>;
    readonly clock: Clock;
    readonly logger: Logger;
  }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#logger = options.logger;
  }

  /**
   * Resolves where the database answers and cluster-init has been.
   * @throws StoreUnavailableError, StoreNotInitialisedError (both reported)
   */
  async check(): Promise<void> {
    try {
      await this.#store.readMeta();
    } catch (error) {
      this.report(error);
      throw error;
    }
  }

  /** Takes note of what a call to the store failed with; anything but its being away is ignored. */
  report(error: unknown): void {
    if (this.#probing !== null || this.#closing.signal.aborted) return;
    if (error instanceof StoreUnavailableError) {
      this.#logger.warn(
        { reason: error.message },
        'the database cannot be reached: answering 503 until it is back',
      );
    } else if (error instanceof StoreNotInitialisedError) {
      this.#logger.warn('the database has not been initialised: answering 503 until cluster-init has run');
    } else {
      return;
    }
    this.#probing = this.#probeUntilBack();
  }

  /** Resolves when no probe runs any more. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#probing;
  }

  /** Bounded by `close`; never rejects. */
  async #probeUntilBack(): Promise<void> {
    for (;;) {
      await sleep(this.#clock, PROBE_INTERVAL_MS, this.#closing.signal);
      if (this.#closing.signal.aborted) return;
      const back = await this.#store.readMeta().then(
        () => true,
        () => false,
      );
      if (back) break;
    }
    this.#probing = null;
    this.#logger.info('the database is back and initialised');
  }
}
