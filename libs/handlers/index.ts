/**
 * What a module in `HANDLERS_DIR` is written with: one module a task name, its default export made by
 * {@link defineHandler}.
 */
import Type from 'typebox';
import type { Static, TSchema } from 'typebox';
import type { Json, TaskId } from '../core/task.ts';
import type { Logger } from '../runtime/logger.ts';

export { Type };

/** The task as its handler sees it. */
export interface HandledTask<Payload> {
  readonly id: TaskId;
  readonly name: string;
  readonly payload: Payload;
  readonly scheduledTime: Date;
}

/** What a handler is given besides its task. */
export interface HandlerContext {
  /** Aborted when the outcome no longer counts, or the attempt's time is up; see {@link AbortReason}. */
  readonly signal: AbortSignal;
  /** Its lines name the task and the attempt. */
  readonly log: Logger;
  /** 1 for the first. */
  readonly attempt: number;
  /**
   * A system the handler writes to can refuse a write that carries a lower `claim` than one before, which is the only way
   * to undo the effects of a handler that was paused and overtaken. Of two attempts in one partition the one that was claimed
   * later has the greater: it grows with every attempt of a task, and from one to the next of the serial tasks of a key.
   * `epoch` grows with every change of the partition's owner, `attempt` only with those of this task.
   */
  readonly fencingToken: { readonly epoch: number; readonly attempt: number; readonly claim: number };
  /** The same for all attempts of a task. */
  readonly idempotencyKey: string;
  /**
   * Says how far this attempt has got, for `GET /tasks/:id` to show within about a second. Only the newest counts, and it
   * is no longer written once the attempt has ended.
   *
   * @param done 0 to 1
   * @param note for people; cut after {@link MAX_NOTE_LENGTH} characters
   * @throws TypeError or RangeError for what is neither
   */
  readonly progress: (done: number, note?: string) => void;
  /**
   * Resolves after `ms`, in a test by the test's time; rejects with the signal's reason as soon as that is aborted.
   * @throws RangeError, by rejecting, where a timer cannot run so long (24.8 days)
   */
  readonly sleep: (ms: number) => Promise<void>;
}

/** Why `context.signal` is aborted: its `reason` is an {@link AttemptAbortedError} that says so. */
export type AbortReason = 'cancelled' | 'lost' | 'stopping' | 'timeout';

export class AttemptAbortedError extends Error {
  override name = 'AttemptAbortedError';
  readonly reason: AbortReason;
  constructor(reason: AbortReason) {
    super(
      {
        cancelled: 'cancelled by a user',
        lost: 'taken over by another worker',
        stopping: 'the worker is stopping',
        timeout: 'it took longer than its task allows',
      }[reason],
    );
    this.reason = reason;
  }
}

/** The same in every copy of this module that a process may have loaded, of which `instanceof` knows but one. */
const RETRY_LATER = Symbol.for('partitioned-task-scheduler/retry-later');
const PERMANENT_FAILURE = Symbol.for('partitioned-task-scheduler/permanent-failure');

/** Thrown by a handler: try again, not sooner than in `afterMs`. No failure is charged for it. */
export class RetryLater extends Error {
  override name = 'RetryLater';
  readonly afterMs: number;
  constructor({ afterMs }: { readonly afterMs: number }) {
    // Modules in JavaScript may give anything, of which much compares as a number.
    if (typeof afterMs !== 'number' || !(afterMs >= 0 && afterMs <= MAX_RETRY_LATER_MS))
      throw new RangeError(`afterMs must be a number from 0 to ${MAX_RETRY_LATER_MS}`);
    super(`to be tried again in ${afterMs} ms`);
    this.afterMs = afterMs;
  }
  get [RETRY_LATER](): true {
    return true;
  }
}

/** Thrown by a handler: no attempt will succeed. The task is FAILED at once. */
export class PermanentFailure extends Error {
  override name = 'PermanentFailure';
  get [PERMANENT_FAILURE](): true {
    return true;
  }
}

/** Whether it is one, of whichever copy of this module. */
export function isRetryLater(thrown: unknown): thrown is RetryLater {
  return isBranded(thrown, RETRY_LATER);
}

/** Whether it is one, of whichever copy of this module. */
export function isPermanentFailure(thrown: unknown): thrown is PermanentFailure {
  return isBranded(thrown, PERMANENT_FAILURE);
}

export interface HandlerDefinition<Schema extends TSchema> {
  /** Of the tasks that it runs. */
  readonly name: string;
  /** What a payload must look like; what does not is FAILED before `run` is called. Anything goes where not given. */
  readonly payload?: Schema;
  /** For attempts of tasks that do not say it themselves. */
  readonly timeoutMs?: number;
  /**
   * How many tasks of this name one worker runs at a time, at most; one that does not heed its signal counts no more a second
   * after it was told. In threads: as many as it has cores, where not given.
   */
  readonly concurrency?: number;
  /**
   * `thread`: `run` is called in a thread, which loads the module again, and handles one task at a time, one after
   * another. A handler that computes then holds up nothing else; and one that has not ended a tenth of a second after its time
   * was up, or a second after its signal was aborted for another reason, deaf or not, is ended with its thread.
   */
  readonly isolation?: 'thread';
  /**
   * Completes the task by returning, fails the attempt by throwing.
   * @returns the task's result: JSON of up to 64 KB, or nothing
   */
  run(task: HandledTask<Static<Schema>>, context: HandlerContext): unknown;
}

/** As a worker holds it, its payload's type having been checked. */
export type AnyHandler = HandlerDefinition<TSchema>;

const MAX_RETRY_LATER_MS = 365 * 86_400_000;
const MAX_NAME_LENGTH = 200;
const MAX_TIMEOUT_MS = 2 ** 31 - 1;
/** Of a note on progress. */
export const MAX_NOTE_LENGTH = 200;
/** The same in every copy of this module that a process may have loaded. */
const DEFINED = Symbol.for('partitioned-task-scheduler/handler');

/**
 * How tasks of one name are run.
 * @throws TypeError for a definition that cannot be one
 */
export function defineHandler<Schema extends TSchema = ReturnType<typeof Type.Unsafe<Json>>>(
  definition: HandlerDefinition<Schema>,
): HandlerDefinition<Schema> {
  const { name, timeoutMs, concurrency, isolation } = definition;
  if (typeof name !== 'string' || name === '' || name.length > MAX_NAME_LENGTH)
    throw new TypeError(`name must be a string of 1 to ${MAX_NAME_LENGTH} characters`);
  if (typeof definition.run !== 'function') throw new TypeError('run must be a function');
  requireWholeNumber('timeoutMs', timeoutMs, MAX_TIMEOUT_MS);
  requireWholeNumber('concurrency', concurrency, Number.MAX_SAFE_INTEGER);
  if (isolation !== undefined && (isolation as string) !== 'thread')
    throw new TypeError(`isolation must be 'thread'`);
  return Object.defineProperty({ ...definition }, DEFINED, { value: true });
}

/** Whether `value` was made by {@link defineHandler}. */
export function isHandler(value: unknown): value is AnyHandler {
  return isBranded(value, DEFINED);
}

function isBranded(value: unknown, brand: symbol): boolean {
  return typeof value === 'object' && value !== null && brand in value;
}

function requireWholeNumber(what: string, value: number | undefined, most: number): void {
  if (value !== undefined && !(Number.isInteger(value) && value >= 1 && value <= most))
    throw new TypeError(`${what} must be a whole number from 1 to ${most}`);
}
