/** What a worker and a thread that runs one of its handlers say to each other. */
import type { Json } from '../../../libs/core/task.ts';
import type { AttemptError, TaskProgress } from '../../../libs/db/stores.ts';
import {
  PermanentFailure,
  RetryLater,
  isPermanentFailure,
  isRetryLater,
} from '../../../libs/handlers/index.ts';
import type { AbortReason } from '../../../libs/handlers/index.ts';
import type { AttemptTask } from '../attempt-context.ts';
import { toAttemptError } from '../attempt-end.ts';

/** What a thread is started with. */
export interface HandlerThreadData {
  /** The handler's module. */
  readonly file: string;
  /** Of the tasks it is expected to handle. */
  readonly name: string;
  /** Of the worker's logger: lines below it are not sent. */
  readonly logLevel: string;
  /** One 32-bit integer, which the worker raises by one for each line and progress that it has read. */
  readonly read: SharedArrayBuffer;
}

export type ToHandlerThread =
  | { readonly type: 'run'; readonly task: AttemptTask; readonly payload: Json }
  | { readonly type: 'abort'; readonly reason: AbortReason };

export type FromHandlerThread =
  | { readonly type: 'loaded' }
  /** pino's JSON, and how many were left out before it. */
  | { readonly type: 'log'; readonly line: string; readonly leftOut: number }
  | { readonly type: 'progress'; readonly progress: TaskProgress }
  | { readonly type: 'returned'; readonly result: string | null }
  | { readonly type: 'threw'; readonly thrown: Thrown };

/** What a handler threw; the rest of the error, its cause and properties of its own, stays behind. */
export type Thrown =
  | { readonly kind: 'RETRY_LATER'; readonly afterMs: number }
  | { readonly kind: 'PERMANENT_FAILURE'; readonly error: AttemptError }
  | { readonly kind: 'OTHER'; readonly error: AttemptError };

export function toThrown(thrown: unknown): Thrown {
  if (isRetryLater(thrown)) return { kind: 'RETRY_LATER', afterMs: thrown.afterMs };
  const kind = isPermanentFailure(thrown) ? 'PERMANENT_FAILURE' : 'OTHER';
  return { kind, error: toAttemptError(thrown) };
}

/** The error that has crossed, of the same name, message and stack. */
export function fromThrown(thrown: Thrown): Error {
  if (thrown.kind === 'RETRY_LATER') return new RetryLater(thrown);
  const { name, message, stack } = thrown.error;
  const error = thrown.kind === 'PERMANENT_FAILURE' ? new PermanentFailure(message) : new Error(message);
  return Object.assign(error, { name, stack });
}
