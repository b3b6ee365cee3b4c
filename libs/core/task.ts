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

/** What a submitter may say of a task's attempts. What is not said is {@link DEFAULT_POLICY}'s. */
export interface TaskPolicy {
  /** Attempts that may fail, the last of them for good. What is handed back is not charged. */
  readonly maxAttempts?: number;
  /** Delays before a retry, see {@link backoffMs}. */
  readonly backoff?: { readonly baseMs: number; readonly maxMs: number; readonly factor: number };
  /** An attempt that takes longer is aborted and has failed. Unlimited where not given. */
  readonly timeoutMs?: number;
}

/** Five attempts; up to 1 s before the first retry, doubling, never over 5 minutes. */
export const DEFAULT_POLICY = {
  maxAttempts: 5,
  backoff: { baseMs: 1_000, maxMs: 300_000, factor: 2 },
} as const satisfies TaskPolicy;

export type AfterFailure =
  { readonly status: 'PENDING'; readonly delayMs: number } | { readonly status: 'FAILED' };

/**
 * What becomes of a task whose attempt failed.
 *
 * @param failures failures recorded before this one
 */
export function afterFailure(
  failures: number,
  policy: TaskPolicy | null,
  random: Pick<Random, 'next'>,
): AfterFailure {
  const { maxAttempts, backoff } = { ...DEFAULT_POLICY, ...policy };
  if (failures + 1 >= maxAttempts) return { status: 'FAILED' };
  return { status: 'PENDING', delayMs: backoffMs(failures, random, backoff) };
}

/**
 * The same for an attempt whose worker was lost: the first such failure is made good at once, as it was hardly the task's
 * own. Written in SQL in libs/db/functions/recovery_delay_ms.sql.
 */
export function afterLoss(
  failures: number,
  policy: TaskPolicy | null,
  random: Pick<Random, 'next'>,
): AfterFailure {
  const after = afterFailure(failures, policy, random);
  return after.status === 'PENDING' && failures === 0 ? { status: 'PENDING', delayMs: 0 } : after;
}

/**
 * One random number for many tasks, each of which has a share of it that differs from its neighbours': a Weyl sequence, by the
 * golden ratio.
 * @param jitter in [0, 1)
 */
export function jitterOf(jitter: number, id: TaskId): number {
  const sum = jitter + id * 0.6180339887498949;
  return sum - Math.floor(sum);
}
