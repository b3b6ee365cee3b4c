import { sleep } from '../../libs/core/clock.ts';
import type { Clock } from '../../libs/core/clock.ts';
import type { Json } from '../../libs/core/task.ts';
import type { ClaimedTask, TaskProgress } from '../../libs/db/stores.ts';
import { MAX_NOTE_LENGTH } from '../../libs/handlers/index.ts';
import type { HandledTask, HandlerContext } from '../../libs/handlers/index.ts';
import type { Logger } from '../../libs/runtime/logger.ts';

/** The longest a timer can run: 24.8 days. */
const MAX_SLEEP_MS = 2 ** 31 - 1;

/** What a handler is to know of its attempt. */
export type AttemptTask = Pick<
  ClaimedTask,
  'id' | 'name' | 'partition' | 'record' | 'attempt' | 'epoch' | 'scheduledAtMs'
>;

/** What the contexts of all attempts have in common. */
export interface ContextHost {
  readonly logger: Logger;
  readonly clock: Clock;
  /** The attempt's handler says how far it has got, and it is news. */
  readonly progressed: (attempt: AttemptTask, progress: TaskProgress) => void;
}

/**
 * What a handler is given of its attempt. Each part is made when it is asked for, as most handlers ask for none; and is a
 * value and no method, as handlers take it apart.
 */
export class AttemptContext implements HandlerContext {
  readonly #of: AttemptTask;
  readonly #abort: Pick<AbortController, 'signal'>;
  readonly #host: ContextHost;
  #logger: Logger | undefined;
  #progress: TaskProgress | undefined;

  constructor(of: AttemptTask, abort: Pick<AbortController, 'signal'>, host: ContextHost) {
    this.#of = of;
    this.#abort = abort;
    this.#host = host;
  }

  get id(): number {
    return this.#of.id;
  }

  get name(): string {
    return this.#of.name;
  }

  get attempt(): number {
    return this.#of.attempt;
  }

  get fencingToken(): HandlerContext['fencingToken'] {
    const { epoch, attempt, record: claim } = this.#of;
    return { epoch, attempt, claim };
  }

  get idempotencyKey(): string {
    return `task-${this.#of.id}`;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get log(): Logger {
    const { id: taskId, name: taskName, partition, attempt } = this.#of;
    return (this.#logger ??= this.#host.logger.child({ taskId, taskName, partition, attempt }));
  }

  get progress(): HandlerContext['progress'] {
    return (done, note) => {
      const progress = toProgress(done, note);
      const { done: before, note: noteBefore } = this.#progress ?? {};
      if (progress.done === before && progress.note === noteBefore) return;
      this.#progress = progress;
      this.#host.progressed(this.#of, progress);
    };
  }

  get sleep(): HandlerContext['sleep'] {
    return async (ms) => {
      if (!(ms >= 0 && ms <= MAX_SLEEP_MS)) throw new RangeError(`ms must be from 0 to ${MAX_SLEEP_MS}`);
      this.signal.throwIfAborted();
      await sleep(this.#host.clock, ms, this.signal);
      this.signal.throwIfAborted();
    };
  }

  /** What of its task the attempt's context knows, to be given to a thread. */
  get attemptTask(): AttemptTask {
    const { id, name, partition, record, attempt, epoch, scheduledAtMs } = this.#of;
    return { id, name, partition, record, attempt, epoch, scheduledAtMs };
  }

  task(payload: Json): HandledTask<Json> {
    const { id, name, scheduledAtMs } = this.#of;
    return { id, name, payload, scheduledTime: new Date(scheduledAtMs) };
  }
}

/** @throws TypeError or RangeError for what tells no progress */
function toProgress(done: unknown, note: unknown): TaskProgress {
  if (typeof done !== 'number') throw new TypeError('done must be a number');
  if (!(done >= 0 && done <= 1)) throw new RangeError('done must be from 0 to 1');
  if (note !== undefined && typeof note !== 'string') throw new TypeError('note must be a string');
  // Adding 0 makes 0 of -0.
  return { done: done + 0, note: note === undefined ? null : note.slice(0, MAX_NOTE_LENGTH) };
}
