/**
 * A task's life as a state machine of its own, for the stores to be compared with: what each thing that users, workers and
 * the loss of a worker do makes of it. Pure: a life and the database's time in, the answer and the next life out.
 *
 * ```
 *            claim                      outcome, loss
 *  PENDING ─────────▶ RUNNING ───────────────────────────▶ COMPLETED
 *   ▲ ▲ │                │ └──────────────────────────────▶ FAILED ──┐
 *   │ │ └── cancel ──────┼────────────────────────────────▶ CANCELLED ┤
 *   │ └── outcome, loss ─┘                                            │
 *   └───────────────────────── retry ─────────────────────────────────┘
 * ```
 * GONE from everywhere by a removal, which waits for the attempt that runs.
 */
import { backoffMs } from '../../core/backoff.ts';
import { DEFAULT_POLICY, jitterOf } from '../../core/task.ts';
import type { Json, TaskId, TaskPolicy, TaskStatus } from '../../core/task.ts';
import type {
  AttemptEnd,
  CancelResult,
  NewTask,
  NotWaiting,
  PatchResult,
  RemoveResult,
  RetryResult,
  RunResult,
  TaskChange,
} from '../../db/stores.ts';

/** The attempt that runs, and for whom. */
export interface Run {
  readonly workerId: string;
  readonly incarnation: string;
  readonly epoch: number;
}

export interface Life {
  readonly id: TaskId;
  readonly partition: number;
  readonly status: TaskStatus;
  readonly payload: Json;
  readonly policy: TaskPolicy | null;
  readonly priority: number;
  readonly key: string | null;
  readonly serial: boolean;
  /** It is serial, and another of its key has its turn: see lines.ts. */
  readonly blocked: boolean;
  readonly scheduledAtMs: number;
  readonly dueAtMs: number;
  /** The one that runs, or the last. */
  readonly attempt: number;
  readonly failures: number;
  readonly revision: number;
  readonly cancelRequested: boolean;
  readonly removalRequested: boolean;
  /** While RUNNING. */
  readonly run: Run | null;
  /** Who ran the last attempt that has ended; and under which incarnation, unless it was lost. */
  readonly ranBy: string | null;
  readonly endedBy: string | null;
  readonly lastError: string | null;
  readonly result: Json;
  /** Attempts that have not completed, the newest first. */
  readonly unsuccessful: readonly { readonly attempt: number; readonly outcome: string }[];
}

export type Next = Life | 'GONE';
/** What the caller is told, and what has become of the task. */
export interface Answer<Result> {
  readonly result: Result;
  readonly next: Next;
}

export const isWaiting = (life: Next): life is Life & { status: 'PENDING' } =>
  life !== 'GONE' && life.status === 'PENDING';
export const isRunning = (life: Next): life is Life & { run: Run } => life !== 'GONE' && life.run !== null;
export const hasEnded = (life: Next): boolean => life === 'GONE' || (!isWaiting(life) && !isRunning(life));
/** As an ETag has it. */
export const versionOf = ({ revision, attempt }: Life): string => `${revision}.${attempt}`;
export const maxAttemptsOf = ({ policy }: Life): number => policy?.maxAttempts ?? DEFAULT_POLICY.maxAttempts;

export function submitted(
  { payload, policy = null, priority = 0, scheduledAtMs, delayMs, key, serial = false }: NewTask,
  { id, partition }: Pick<Life, 'id' | 'partition'>,
  nowMs: number,
): Life {
  const scheduled = scheduledAtMs ?? nowMs + (delayMs ?? 0);
  return {
    ...{ id, partition, status: 'PENDING', payload, policy, priority, key, serial, blocked: serial },
    ...{ scheduledAtMs: scheduled, dueAtMs: Math.max(scheduled, nowMs) },
    ...{ attempt: 0, failures: 0, revision: 0, cancelRequested: false, removalRequested: false },
    ...{ run: null, ranBy: null, endedBy: null, lastError: null, result: null, unsuccessful: [] },
  };
}

// ------------------------------------------------------------------ users

export function patched(
  life: Next,
  change: TaskChange,
  versions: readonly string[] | undefined,
  nowMs: number,
): Answer<PatchResult> {
  if (!isWaiting(life)) return { result: whyNotWaiting(life), next: life };
  if (versions?.includes(versionOf(life)) === false) return { result: 'changed', next: life };
  const {
    scheduledAtMs: at,
    delayMs,
    payload = life.payload,
    priority = life.priority,
    maxAttempts,
  } = change;
  const scheduledAtMs = at ?? (delayMs === undefined ? undefined : nowMs + delayMs);
  const policy = maxAttempts === undefined ? life.policy : { ...life.policy, maxAttempts };
  const time = scheduledAtMs === undefined ? {} : { scheduledAtMs, dueAtMs: Math.max(scheduledAtMs, nowMs) };
  return { result: 'patched', next: changed({ ...life, payload, priority, policy, ...time }) };
}

export function ranNow(life: Next, nowMs: number): Answer<RunResult> {
  if (!isWaiting(life)) return { result: whyNotWaiting(life), next: life };
  return { result: 'due', next: changed({ ...life, ...noLaterThan(life, nowMs) }) };
}

export function cancelled(life: Next): Answer<CancelResult> {
  if (life === 'GONE') return { result: 'unknown', next: life };
  if (isRunning(life)) {
    const next = life.cancelRequested ? life : changed({ ...life, cancelRequested: true });
    return { result: 'cancelling', next };
  }
  if (isWaiting(life)) return { result: 'cancelled', next: changed({ ...life, status: 'CANCELLED' }) };
  return { result: life.status === 'CANCELLED' ? 'cancelled' : 'ended', next: life };
}

export function retried(life: Next, nowMs: number): Answer<RetryResult> {
  if (life === 'GONE') return { result: 'unknown', next: life };
  if (life.status !== 'FAILED' && life.status !== 'CANCELLED')
    return { result: isRunning(life) ? 'running' : isWaiting(life) ? 'waiting' : 'completed', next: life };
  const again = { status: 'PENDING', failures: 0, cancelRequested: false, blocked: life.serial } as const;
  const time = { ...noLaterThan(life, nowMs), dueAtMs: nowMs };
  return { result: 'retried', next: changed({ ...life, ...again, ...time }) };
}

export function removed(life: Next): Answer<RemoveResult> {
  if (life === 'GONE') return { result: 'unknown', next: life };
  if (!isRunning(life)) return { result: 'removed', next: 'GONE' };
  return { result: 'cancelling', next: { ...life, cancelRequested: true, removalRequested: true } };
}

const changed = (life: Life): Life => ({ ...life, revision: life.revision + 1 });

const noLaterThan = ({ scheduledAtMs, dueAtMs }: Life, nowMs: number) => ({
  scheduledAtMs: Math.min(scheduledAtMs, nowMs),
  dueAtMs: Math.min(dueAtMs, nowMs),
});

function whyNotWaiting(life: Next): NotWaiting {
  if (life === 'GONE') return 'unknown';
  return life.status.toLowerCase() as NotWaiting;
}

// ------------------------------------------------------------------ workers

export const claimed = (life: Life, run: Run): Life => ({
  ...life,
  ...{ status: 'RUNNING', attempt: life.attempt + 1, run },
});

/** How the attempt that runs ends, by its worker's word. */
export function ended(life: Life & { run: Run }, end: AttemptEnd, nowMs: number): Next {
  const delayMs = 'delayMs' in end ? end.delayMs : undefined;
  const status = end.kind === 'COMPLETED' || end.kind === 'FAILED' ? end.kind : 'PENDING';
  const error = 'error' in end ? end.error : undefined;
  return over(life, {
    ...{ status, charged: end.kind === 'RETRY' || end.kind === 'FAILED', endedBy: life.run.incarnation },
    dueAtMs: delayMs === undefined ? life.dueAtMs : Math.max(life.scheduledAtMs, Math.floor(nowMs + delayMs)),
    error: typeof error === 'string' ? error : error?.message,
    result: end.kind === 'COMPLETED' ? (JSON.parse(end.result ?? 'null') as Json) : null,
    outcome: end.kind === 'RETRY' ? 'FAILED' : end.kind,
  });
}

/** How it ends where its worker's lease has, the first time at once and then by its task's backoff. */
export function lost(life: Life & { run: Run }, jitter: number, nowMs: number): Next {
  const forGood = life.failures + 1 >= maxAttemptsOf(life);
  const backoff = life.policy?.backoff ?? DEFAULT_POLICY.backoff;
  const delayMs =
    life.failures === 0 ? 0 : backoffMs(life.failures, { next: () => jitterOf(jitter, life.id) }, backoff);
  return over(life, {
    ...{ status: forGood ? 'FAILED' : 'PENDING', charged: true, endedBy: null, result: life.result },
    dueAtMs: forGood ? life.dueAtMs : Math.max(life.scheduledAtMs, Math.floor(nowMs + delayMs)),
    error: `attempt ${life.attempt}: worker ${life.run.workerId} was lost, its lease ended`,
    outcome: 'LOST',
  });
}

interface Over {
  readonly status: 'PENDING' | 'COMPLETED' | 'FAILED';
  readonly charged: boolean;
  readonly endedBy: string | null;
  readonly dueAtMs: number;
  readonly error: string | undefined;
  readonly result: Json;
  readonly outcome: string;
}

function over(life: Life & { run: Run }, { status, charged, error, outcome, ...rest }: Over): Next {
  if (life.removalRequested) return 'GONE';
  const failed = { attempt: life.attempt, outcome };
  return {
    ...{ ...life, ...rest, run: null, ranBy: life.run.workerId },
    status: life.cancelRequested && status !== 'COMPLETED' ? 'CANCELLED' : status,
    failures: life.failures + (charged ? 1 : 0),
    lastError: error ?? life.lastError,
    unsuccessful: status === 'COMPLETED' ? life.unsuccessful : [failed, ...life.unsuccessful],
  };
}
