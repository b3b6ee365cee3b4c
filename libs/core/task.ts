import { backoffMs } from './backoff.ts';
import type { Random } from './random.ts';

/**
 * The life of a task.
 *
 * ```
 *             claim (attempt+1)               outcome ok
 *  PENDING ─────────────────────▶ RUNNING ───────────────▶ COMPLETED
 *     ▲                           │ │ │
 *     ├── hand-back, retry left ──┘ │ └── no retry left ──▶ FAILED
 *     └── claimer's lease expired ──┘
 * ```
 * CANCELLED is for a task a user cancels and keeps; a DELETE removes the record altogether.
 */
export type TaskStatus = 'PENDING' | 'RUNNING' | 'COMPLETED' | 'FAILED' | 'CANCELLED';

/** Small and growing; always a safe integer. */
export type TaskId = number;

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** How many times a failed task is tried again before it is FAILED. */
export const MAX_RETRIES = 5;

/** Delays before a retry: up to 1 s before the first, doubling, never over 5 minutes. */
export const RETRY_BACKOFF = { baseMs: 1_000, maxMs: 300_000 };

export type AfterFailure =
  { readonly status: 'PENDING'; readonly delayMs: number } | { readonly status: 'FAILED' };

/**
 * What becomes of a task whose attempt failed.
 *
 * @param failures failures recorded before this one
 */
export function afterFailure(failures: number, random: Random): AfterFailure {
  if (failures >= MAX_RETRIES) return { status: 'FAILED' };
  return { status: 'PENDING', delayMs: backoffMs(failures, random, RETRY_BACKOFF) };
}
