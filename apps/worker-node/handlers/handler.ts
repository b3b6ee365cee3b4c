import type { Logger } from '../../../libs/runtime/logger.ts';
import type { Json, TaskId } from '../../../libs/core/task.ts';

/** What a handler is given besides the payload. */
export interface HandlerContext {
  readonly id: TaskId;
  readonly name: string;
  readonly partition: number;
  /** 1 for the first. */
  readonly attempt: number;
  /**
   * Grows with every change of owner and every attempt: a system the handler writes to can refuse a write that
   * carries a lower one, which is the only way to undo the effects of a handler that was paused and overtaken.
   */
  readonly fencingToken: { readonly epoch: number; readonly attempt: number };
  /** The same for all attempts of a task. */
  readonly idempotencyKey: string;
  /** Aborted when the outcome no longer counts: cancelled by a user, taken over by another worker, or the worker is stopping. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/** Completes the task by resolving, fails the attempt by throwing. */
export type Handler = (payload: Json, context: HandlerContext) => Promise<void>;
