import { sleep } from '../../libs/core/clock.ts';
import type { Clock } from '../../libs/core/clock.ts';
import type { TaskId } from '../../libs/core/task.ts';
import { StoreUnavailableError } from '../../libs/db/stores.ts';
import type { ClaimedTask, ExecutionStore, ProgressReport, TaskProgress } from '../../libs/db/stores.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import type { Availability } from './availability.ts';

const EVERY_MS = 1_000;
const MAX_BATCH = 500;

interface ProgressWriterOptions {
  readonly store: Pick<ExecutionStore, 'reportProgress'>;
  readonly availability: Availability;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Writes how far attempts have got: the newest of each, together, once a second at most, and nothing while there is no news.
 * What was not written goes with the next, unless its attempt has ended or there is newer. Bounded by the attempts in
 * flight.
 */
export class ProgressWriter {
  readonly #options: ProgressWriterOptions;
  readonly #news = new Map<TaskId, ProgressReport>();
  #writing = false;

  constructor(options: ProgressWriterOptions) {
    this.#options = options;
  }

  report({ id, attempt, incarnation, partition, record }: ClaimedTask, { done, note }: TaskProgress): void {
    this.#news.set(id, { id, attempt, incarnation, partition, record, done, note });
    if (!this.#writing) void this.#write();
  }

  /** This attempt has ended, or is no longer ours. */
  forget({ id }: Pick<ClaimedTask, 'id'>): void {
    if (this.#news.size > 0) this.#news.delete(id);
  }

  /** Never rejects. */
  async #write(): Promise<void> {
    this.#writing = true;
    // What is reported in one turn goes together.
    await Promise.resolve();
    while (this.#news.size > 0) {
      await this.#writeSome([...this.#news.values()].slice(0, MAX_BATCH));
      await sleep(this.#options.clock, EVERY_MS);
    }
    this.#writing = false;
  }

  async #writeSome(batch: readonly ProgressReport[]): Promise<void> {
    const { store, availability, logger } = this.#options;
    try {
      const stored = new Set(await availability.once('progress', () => store.reportProgress(batch)));
      for (const report of batch)
        if (this.#news.get(report.id) === report) {
          this.#news.delete(report.id);
          // Behind the others, so that it holds up none of them.
          if (!stored.has(report.id)) this.#news.set(report.id, report);
        }
    } catch (error) {
      if (error instanceof StoreUnavailableError) return;
      logger.error({ err: error }, 'could not write progress');
      for (const report of batch) if (this.#news.get(report.id) === report) this.#news.delete(report.id);
    }
  }
}
