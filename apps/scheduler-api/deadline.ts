import type { Clock } from '../../libs/core/clock.ts';
import { Problem } from './problem.ts';

/** Passes on what becomes of `work`, or rejects with {@link Problem} `timeout` where that takes too long. */
export type InTime = <T>(work: Promise<T>) => Promise<T>;

/**
 * The framework's own `handlerTimeout` does the same by an AbortController for each request, which it aborts in the
 * end: a twentieth of all the time that a submission takes here.
 */
export function deadline(clock: Clock, limitMs: number): InTime {
  return (work) =>
    new Promise((resolve, reject) => {
      const timer = clock.schedule(limitMs, () => {
        reject(
          new Problem('timeout', {
            detail: 'The database did not answer in time. What was asked for may or may not have been done.',
          }),
        );
      });
      work.then(resolve, reject).finally(() => timer.cancel());
    });
}
