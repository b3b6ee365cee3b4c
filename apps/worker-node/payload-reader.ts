import type { Clock } from '../../libs/core/clock.ts';
import type { Json, TaskId } from '../../libs/core/task.ts';
import type { ClaimedTask, ExecutionStore } from '../../libs/db/stores.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import type { Availability } from './availability.ts';
import { freshReply } from './fresh-reply.ts';

/** Payloads that are read apart are up to 256 KB each: this many at a time keeps a reply under 8 MB. */
const LONG_PER_READ = 32;
/** Those that are known to be short are up to 4 KB each. */
const SHORT_PER_READ = 500;
/** A second reply that took its time is of a slow database, and not of a worker that was frozen. */
const MAX_READS = 2;

interface PayloadReaderOptions {
  readonly store: Pick<ExecutionStore, 'payloads'>;
  readonly availability: Availability;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Once it is aborted, nobody is told any more. */
  readonly stop: AbortSignal;
  /** These have been read. What has no payload was overtaken before it had begun. */
  readonly onRead: (tasks: readonly ClaimedTask[], payloads: ReadonlyMap<TaskId, Json>) => void;
  readonly onFailed: (task: ClaimedTask, error: unknown) => void;
}

/** Reads the payloads that have not come with their claims, for as long as the database is away. */
export class PayloadReader {
  readonly #options: PayloadReaderOptions;

  constructor(options: PayloadReaderOptions) {
    this.#options = options;
  }

  /** Has `onRead` or `onFailed` called for each of `tasks`, some at a time. */
  read(tasks: readonly ClaimedTask[]): void {
    this.#readSome(
      tasks.filter(({ payloadIsShort }) => payloadIsShort === true),
      SHORT_PER_READ,
    );
    this.#readSome(
      tasks.filter(({ payloadIsShort }) => payloadIsShort !== true),
      LONG_PER_READ,
    );
  }

  #readSome(tasks: readonly ClaimedTask[], perRead: number): void {
    for (let i = 0; i < tasks.length; i += perRead) void this.#tell(tasks.slice(i, i + perRead));
  }

  /** Rejects where whoever is told throws: a fault of this process, and not of the tasks. */
  async #tell(tasks: readonly ClaimedTask[]): Promise<void> {
    let payloads: Map<TaskId, Json> | undefined;
    try {
      payloads = await this.#read(tasks);
    } catch (error) {
      this.#options.logger.error({ err: error }, 'could not read payloads');
      for (const task of tasks) this.#options.onFailed(task, error);
    }
    if (payloads !== undefined) this.#options.onRead(tasks, payloads);
  }

  /** Undefined where it was stopped before. */
  async #read(tasks: readonly ClaimedTask[]): Promise<Map<TaskId, Json> | undefined> {
    const { store, availability, clock, stop } = this.#options;
    for (let reads = 1; ; reads++) {
      let fresh = freshReply(clock);
      const send = () => {
        fresh = freshReply(clock);
        return store.payloads(tasks);
      };
      const payloads = await availability.untilAvailable('payloads', send, stop);
      if (payloads === undefined || fresh() || reads === MAX_READS) return payloads;
    }
  }
}
