import type { Clock } from '../../libs/core/clock.ts';
import { Problem } from './problem.ts';

/** Passes on what becomes of `work`, or rejects with {@link Problem} `timeout` where that takes too long. */
export type InTime = <T>(work: Promise<T>) => Promise<T>;

/**
 * The framework's own `handlerTimeout` does the same by an AbortController for each request, which it aborts in the
 * end: a twentieth of all the time that a submission takes here.
 *
 * @param onLateFault told what `work` rejects with when it is no longer waited for
 */
export function deadline(clock: Clock, limitMs: number, onLateFault: (error: unknown) => void): InTime {
  return (work) =>
    new Promise((resolve, reject) => {
      let fail: (error: unknown) => void = reject;
      const timer = clock.schedule(limitMs, () => {
        fail = onLateFault;
        reject(
          new Problem('timeout', {
            detail: 'The database did not answer in time. What was asked for may or may not have been done.',
          }),
        );
      });
      work.then(resolve, (error: unknown) => fail(error)).finally(() => timer.cancel());
    });
}
