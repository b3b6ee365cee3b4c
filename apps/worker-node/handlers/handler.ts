import type { Json } from '../../../libs/core/task.ts';
import type { AnyHandler } from '../../../libs/handlers/index.ts';
import type { AttemptContext } from '../attempt-context.ts';

/** A handler as the executor runs it: of a user's module, see registry.ts, or a plain function of a test's. */
export interface Handler extends Pick<AnyHandler, 'timeoutMs' | 'concurrency'> {
  /**
   * Completes the task by resolving, fails the attempt by rejecting, and throws nothing before; RetryLater and PermanentFailure are taken at their
   * word.
   * @returns the result as JSON text; what is no text is none
   */
  run(payload: Json, context: AttemptContext): Promise<unknown>;
  /**
   * Where something is to be made ready first: resolves when it is, with what to run in place of `run`. The attempt's time
   * counts from then. Rejects as `run` does.
   */
  prepare?(payload: Json, context: AttemptContext): Promise<Pick<Handler, 'run'>>;
}
