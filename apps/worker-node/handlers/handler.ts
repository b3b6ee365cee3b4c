import type { Json } from '../../../libs/core/task.ts';
import type { AnyHandler } from '../../../libs/handlers/index.ts';
import type { AttemptContext } from '../attempt-context.ts';

/** A handler as the executor runs it: of a user's module, see registry.ts, or a plain function of a test's. */
export interface Handler extends Pick<AnyHandler, 'timeoutMs' | 'concurrency'> {
  /**
   * Completes the task by resolving, fails the attempt by rejecting; RetryLater and PermanentFailure are taken at their
   * word.
   * @returns the result as JSON text, if there is one
   */
  run(payload: Json, context: AttemptContext): Promise<string | null | void>;
}
