import { sleep } from '../../libs/core/clock.ts';
import type { Clock } from '../../libs/core/clock.ts';
import { StoreUnavailableError } from '../../libs/db/stores.ts';
import type { ExecutionStore } from '../../libs/db/stores.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import type { Availability } from './availability.ts';
import { RetentionPace } from './retention-pace.ts';

/** How soon a worker notices that it has become its turn. */
const LOOK_MS = 1_000;
/** A pass begins at the oldest task: after so much of the time that tasks are kept, but within these. */
const PASS_SHARE = 0.1;
const LEAST_PASS_MS = 1_000;
const MOST_PASS_MS = 3_600_000;

export interface RetentionOptions {
  readonly store: Pick<ExecutionStore, 'removeFinished'>;
  readonly availability: Availability;
  /** How long tasks that have ended are kept. */
  readonly keepMs: number;
  /** Whether it is for this worker to do: for one in the cluster. More of them do no harm. */
  readonly isOurs: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Removes what ended long ago, little by little, so that whoever claims and finishes tasks does not notice. */
export class Retention {
  readonly #options: RetentionOptions;
  readonly #pace: RetentionPace;
  readonly #passMs: number;
  /** A call that has failed is made again, whosever turn it is, until the database has answered. */
  #unanswered = false;
  /** Not yet told of. */
  #removed = 0;

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#pace = new RetentionPace(options.keepMs);
    this.#passMs = Math.min(Math.max(options.keepMs * PASS_SHARE, LEAST_PASS_MS), MOST_PASS_MS);
  }

  /** Until `signal` is aborted. Rejects for a fault that waiting cannot mend. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) await sleep(this.#options.clock, await this.#step(), signal);
    this.#say();
  }

  /** @returns how long to wait with the next, ms */
  async #step(): Promise<number> {
    const { isOurs } = this.#options;
    if (!isOurs() && !this.#unanswered) {
      this.#say();
      return LOOK_MS;
    }
    try {
      return await this.#removeSome();
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      this.#unanswered = true;
      return this.#pace.failed();
    }
  }

  async #removeSome(): Promise<number> {
    const { store, availability, keepMs, clock } = this.#options;
    const { span, rows: most } = this.#pace;
    const sentAtMs = clock.monotonicMs();
    const request = { keepMs, passMs: this.#passMs, span, most };
    const result = await availability.once('remove-finished', () => store.removeFinished(request));
    this.#unanswered = false;
    if (result === null) return this.#pace.idle();
    this.#removed += result.removed;
    if (result.done) this.#say();
    const nowMs = clock.monotonicMs();
    return this.#pace.after(result, nowMs - sentAtMs, nowMs);
  }

  #say(): void {
    if (this.#removed > 0) this.#options.logger.info({ removed: this.#removed }, 'Removed old events');
    this.#removed = 0;
  }
}
