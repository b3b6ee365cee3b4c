import { InvalidInputError } from '../../libs/db/stores.ts';
import type {
  AttemptEnd,
  ClaimRecord,
  ExecutionStore,
  Outcome,
  OutcomeResult,
} from '../../libs/db/stores.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import { errorText } from './attempt-end.ts';
import type { Availability } from './availability.ts';
import { OpenRecords } from './open-records.ts';

const MAX_BATCH = 1_000;
/** Of the results and errors of a batch: what cannot be sent within a statement's time would be sent again and again. */
const MAX_BATCH_CHARS = 2_000_000;

/** An outcome, and the record that has named its attempt. */
export type RecordedOutcome = Outcome & ClaimRecord;

interface Queued {
  readonly outcome: RecordedOutcome;
  /** It is the last of its record's: the record goes with it. */
  readonly last: boolean;
}

/**
 * Records how attempts ended. One batch is under way at a time; what ends meanwhile goes with the next, so the
 * batches grow with the load and an idle worker's outcome does not wait. The queue is bounded by the attempts
 * in flight.
 */
export class OutcomeWriter {
  readonly #store: Pick<ExecutionStore, 'finish'>;
  readonly #availability: Availability;
  readonly #logger: Logger;
  readonly #onSending: (outcomes: readonly Outcome[]) => void;
  readonly #onSettled: (outcome: Outcome, result: OutcomeResult) => void;
  readonly #records = new OpenRecords();
  readonly #giveUp = new AbortController();
  #queue: Queued[] = [];
  #flushing: Promise<void> | undefined;

  /**
   * @param options.onSending called with each batch that is about to be sent, once however often it has to be
   * @param options.onSettled called for each outcome once the database has answered for it
   */
  constructor(options: {
    store: Pick<ExecutionStore, 'finish'>;
    availability: Availability;
    logger: Logger;
    onSending: (outcomes: readonly Outcome[]) => void;
    onSettled: (outcome: Outcome, result: OutcomeResult) => void;
  }) {
    this.#store = options.store;
    this.#availability = options.availability;
    this.#logger = options.logger;
    this.#onSending = options.onSending;
    this.#onSettled = options.onSettled;
  }

  /** Of this attempt there will be an outcome. */
  expect(attempt: ClaimRecord): void {
    this.#records.opened(attempt);
  }

  /** Of this attempt there will be none: it was taken away, and its record with it. */
  dismiss(attempt: ClaimRecord): void {
    this.#records.ended(attempt);
  }

  /** Queues `outcome`; it is written again and again while the database is away. */
  write(outcome: RecordedOutcome): void {
    this.#queue.push({ outcome, last: this.#records.ended(outcome) });
    this.#flushing ??= this.#flush();
  }

  /**
   * Resolves when the queue is empty; with false where it was given up before.
   * Rejects where the database refused a statement for a reason of its own.
   */
  async flushed(): Promise<boolean> {
    await this.#flushing;
    return this.#queue.length === 0;
  }

  /** Stops waiting for a database that is away: what is queued is left to recovery. */
  giveUp(): void {
    this.#giveUp.abort();
  }

  async #flush(): Promise<void> {
    try {
      // What ends together goes together: all that were waiting for this turn have ended after it.
      await Promise.resolve();
      while (this.#queue.length > 0 && !this.#giveUp.signal.aborted) {
        const batch = this.#queue.slice(0, batchSize(this.#queue));
        this.#onSending(batch.map(({ outcome }) => outcome));
        const results = await this.#finishAsFarAsPossible(batch);
        if (results === undefined) return;
        this.#queue = this.#queue.slice(batch.length);
        batch.forEach(({ outcome }, i) => this.#onSettled(outcome, results[i] ?? 'refused'));
      }
    } finally {
      // In the same turn in which the queue was found empty: what is written next starts a flush of its own.
      this.#flushing = undefined;
    }
  }

  /** Undefined where it was given up. */
  async #finish(batch: readonly Queued[]): Promise<OutcomeResult[] | undefined> {
    const outcomes = batch.map(({ outcome }) => outcome);
    const settled = batch.filter(({ last }) => last).map(({ outcome }) => outcome);
    return this.#availability.untilAvailable(
      'finish',
      () => this.#store.finish(outcomes, settled),
      this.#giveUp.signal,
    );
  }

  /** The same; what the database does not take of an outcome costs only its own attempt, which has failed for good. */
  async #finishAsFarAsPossible(batch: readonly Queued[]): Promise<OutcomeResult[] | undefined> {
    try {
      return await this.#finish(batch);
    } catch (error) {
      if (!(error instanceof InvalidInputError)) throw error;
      const [first] = batch;
      if (batch.length === 1 && first !== undefined) return this.#finish([this.#failed(first, error)]);
    }
    const results: OutcomeResult[] = [];
    for (const queued of batch) {
      const result = await this.#finishAsFarAsPossible([queued]);
      if (result === undefined) return undefined;
      results.push(...result);
    }
    return results;
  }

  #failed({ outcome, last }: Queued, { name, message: reason }: InvalidInputError): Queued {
    const { id: taskId, attempt, end } = outcome;
    this.#logger.warn({ taskId, attempt, end: end.kind, reason }, 'Outcome cannot be stored: event failed');
    const message = errorText(`how it ended cannot be stored: ${reason}`);
    return { outcome: { ...outcome, end: { kind: 'FAILED', error: { name, message } } }, last };
  }
}

/** How many of `queue`, of which there is one at least, go together. */
function batchSize(queue: readonly Queued[]): number {
  const most = Math.min(queue.length, MAX_BATCH);
  let chars = 0;
  for (let size = 0; size < most; size++) {
    chars += charsOf(queue[size]?.outcome.end);
    if (chars > MAX_BATCH_CHARS) return Math.max(1, size);
  }
  return most;
}

function charsOf(end: AttemptEnd | undefined): number {
  if (end?.kind === 'COMPLETED') return end.result?.length ?? 0;
  if (end === undefined || !('error' in end)) return 0;
  return typeof end.error === 'string'
    ? end.error.length
    : end.error.message.length + (end.error.stack?.length ?? 0);
}
