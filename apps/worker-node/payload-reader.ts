import type { Json, TaskId } from '../../libs/core/task.ts';
import type { ClaimedTask, ExecutionStore } from '../../libs/db/stores.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import type { Availability } from './availability.ts';

/** Payloads that are read apart are up to 256 KB each: this many at a time keeps a reply under 8 MB. */
const LONG_PER_READ = 32;
/** Those that are known to be short are up to 4 KB each. */
const SHORT_PER_READ = 500;

interface PayloadReaderOptions {
  readonly store: Pick<ExecutionStore, 'payloads'>;
  readonly availability: Availability;
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
    for (let i = 0; i < tasks.length; i += perRead) {
      const slice = tasks.slice(i, i + perRead);
      this.#read(slice).catch((error: unknown) => {
        this.#options.logger.error({ err: error }, 'could not read payloads');
        for (const task of slice) this.#options.onFailed(task, error);
      });
    }
  }

  async #read(tasks: readonly ClaimedTask[]): Promise<void> {
    const { store, availability, stop, onRead } = this.#options;
    const payloads = await availability.untilAvailable('payloads', () => store.payloads(tasks), stop);
    if (payloads !== undefined) onRead(tasks, payloads);
  }
}
