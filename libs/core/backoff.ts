import type { Random } from './random.ts';

export interface BackoffOptions {
  /** Upper bound of the first delay, in milliseconds. */
  readonly baseMs: number;
  /** Upper bound of every delay, in milliseconds. */
  readonly maxMs: number;
  /** By which the bound grows from one retry to the next; 2 where not given. */
  readonly factor?: number | undefined;
}

/**
 * Exponential backoff with full jitter: a delay in [0, min(maxMs, baseMs · factor^retry)) milliseconds.
 * Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 *
 * @param retry 0 for the first retry
 */
export function backoffMs(
  retry: number,
  random: Pick<Random, 'next'>,
  { baseMs, maxMs, factor = 2 }: BackoffOptions,
): number {
  return Math.floor(random.next() * Math.min(maxMs, baseMs * factor ** Math.min(retry, 52)));
}
