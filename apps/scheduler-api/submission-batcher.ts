import type { StoredTask, TaskOnce } from '../../libs/db/stores.ts';
import { insertSeparately } from './insert-separately.ts';
import type { Insertion } from './insert-separately.ts';

export interface BatcherLimits {
  /** One INSERT's rows and payload bytes, at most (a single task may be larger). */
  readonly batchTasks: number;
  readonly batchBytes: number;
  /** And Idempotency-Keys, each of which takes a lock: Postgres has room for 64 a connection, together. */
  readonly batchKeys: number;
  /** What may wait for its INSERT, at most. */
  readonly queueTasks: number;
  readonly queueBytes: number;
  /** How long an Idempotency-Key is remembered. */
  readonly idempotencyKeyMs: number;
}

export const BATCHER_LIMITS: BatcherLimits = {
  batchTasks: 1_000,
  batchBytes: 4 * 1024 * 1024,
  batchKeys: 100,
  queueTasks: 10_000,
  queueBytes: 64 * 1024 * 1024,
  idempotencyKeyMs: 24 * 3_600_000,
};

/** The queue is full, or the batcher is closed: nothing was stored. */
export class SubmissionRefusedError extends Error {
  override name = 'SubmissionRefusedError';
}

export interface Submission extends TaskOnce {
  /** Of the payload as JSON text in UTF-8. */
  readonly payloadBytes: number;
}

interface Waiting extends Submission {
  readonly resolve: (stored: StoredTask) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Group commit: submissions that arrive while an INSERT is under way are written together by the next one, and
 * each is acknowledged after the commit of its own. The busier the database, the larger the batches; an idle one
 * is written to at once. One INSERT at a time, so that ids grow in the order of acknowledgement; answers are written
 * while the next one is under way.
 *
 * ```
 *  IDLE ──submit──▶ WRITING ──queue empty──▶ IDLE
 *                   WRITING ──queue not empty──▶ WRITING (the next batch)
 *  IDLE ──close──▶ CLOSED     WRITING ──close──▶ CLOSING ──queue empty──▶ CLOSED
 * ```
 */
export class SubmissionBatcher {
  readonly #store: Insertion;
  readonly #limits: BatcherLimits;
  #queue: Waiting[] = [];
  #queuedBytes = 0;
  /** Settles when the queue has run empty; null while IDLE. */
  #writing: Promise<void> | null = null;
  #closed = false;

  constructor(options: { readonly store: Insertion; readonly limits: BatcherLimits }) {
    this.#store = options.store;
    this.#limits = options.limits;
  }

  /**
   * Resolves once it is committed.
   * @throws SubmissionRefusedError where nothing was tried; else whatever the INSERT failed with
   */
  submit(submission: Submission): Promise<StoredTask> {
    if (this.#closed) return Promise.reject(new SubmissionRefusedError('the API is stopping'));
    const full =
      this.#queue.length >= this.#limits.queueTasks ||
      this.#queuedBytes + submission.payloadBytes > this.#limits.queueBytes;
    if (full)
      return Promise.reject(new SubmissionRefusedError('too many submissions are waiting to be written'));
    const stored = new Promise<StoredTask>((resolve, reject) => {
      this.#queue.push({ ...submission, resolve, reject });
    });
    this.#queuedBytes += submission.payloadBytes;
    this.#writing ??= this.#drain();
    return stored;
  }

  /** Refuses what comes from now on; resolves when what was accepted before is settled. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#writing;
  }

  async #drain(): Promise<void> {
    // Requests read in the same turn of the event loop arrive within it: let them all in, it takes no time.
    await new Promise(setImmediate);
    let acknowledge = () => {};
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch();
      const inserting = insertSeparately(this.#store, batch, this.#limits.idempotencyKeyMs);
      // Sent by then: the database works on it while those of the batch before are answered, and does not wait for that.
      await new Promise(setImmediate);
      acknowledge();
      const outcomes = await inserting;
      acknowledge = () => settle(batch, outcomes);
    }
    acknowledge();
    this.#writing = null;
  }

  #takeBatch(): Waiting[] {
    let bytes = 0;
    let count = 0;
    let keys = 0;
    const { batchTasks, batchBytes, batchKeys } = this.#limits;
    for (const { payloadBytes, once } of this.#queue) {
      const own = once === null ? 0 : 1;
      const fits = count < batchTasks && bytes + payloadBytes <= batchBytes && keys + own <= batchKeys;
      if (!fits && count > 0) break;
      bytes += payloadBytes;
      keys += own;
      count += 1;
    }
    this.#queuedBytes -= bytes;
    return this.#queue.splice(0, count);
  }
}

/** Each learns what became of its own. */
function settle(batch: readonly Waiting[], outcomes: readonly (StoredTask | Error)[]): void {
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome instanceof Error) batch[index]?.reject(outcome);
    else batch[index]?.resolve(outcome);
  }
}
