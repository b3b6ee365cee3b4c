import type { Random } from './random.ts';

export interface BackoffOptions {
  /** Upper bound of the first delay, in milliseconds. */
  readonly baseMs: number;
  /** Upper bound of every delay, in milliseconds. */
  readonly maxMs: number;
}

/**
 * Exponential backoff with full jitter: a delay in [0, min(maxMs, baseMs · 2^retry)) milliseconds.
 * Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 *
 * @param retry 0 for the first retry
 */
export function backoffMs(retry: number, random: Random, { baseMs, maxMs }: BackoffOptions): number {
  return Math.floor(random.next() * Math.min(maxMs, baseMs * 2 ** Math.min(retry, 52)));
}
