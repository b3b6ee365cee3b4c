import { DEFAULT_POLICY } from '../libs/core/task.ts';
import { LATER_MS } from './cluster/handler.ts';
import type { WorkerProcess } from './cluster/worker-process.ts';
import type { Commit, TaskState } from './store/database.ts';

/** A promise was broken: which, and how. */
export interface Violation {
  readonly promise: string;
  readonly message: string;
}

/**
 * How a handler ended. `aborted`: it threw, having been told to stop; `later`: RetryLater; `failed for good`:
 * PermanentFailure.
 */
export type HandlerEnd = 'returned' | 'threw' | 'aborted' | 'later' | 'failed for good';

/** An attempt as its handler has it. */
export interface Execution {
  readonly process: WorkerProcess;
  readonly sinceMs: number;
  /** Undefined: it goes on, or its process has died. */
  end: HandlerEnd | undefined;
  /** Where nothing had held up its process. */
  tookMs: number | undefined;
}

export interface RecordedOutcome {
  readonly before: TaskState;
  readonly after: TaskState;
  readonly commit: Commit;
  /** Undefined: it was never started. */
  readonly execution: Execution | undefined;
  /** By the clock of executions. */
  readonly nowMs: number;
}

/** P1: what is recorded of an attempt is what its handler did, and what is charged for it is what it cost. */
export function judgeOutcome({ before, after, commit, execution, nowMs }: RecordedOutcome): {
  readonly violation: Violation | undefined;
  /** What happened that is worth having happened. */
  readonly noteworthy: readonly string[];
} {
  const { end, sinceMs = Infinity, tookMs = 0 } = execution ?? {};
  const isOutcome = commit.statement === 'finish-tasks';
  const { maxAttempts, timeoutMs } = { timeoutMs: Infinity, ...DEFAULT_POLICY, ...after.policy };
  const charged = after.failures - before.failures;
  const failed = end === 'threw' || end === 'failed for good';
  const tooLong = nowMs - sinceMs >= timeoutMs;
  const what = `attempt ${before.attempt} of task ${before.id}`;
  let violation: Violation | undefined;
  const broken = (promise: string, message: string) =>
    (violation ??= { promise, message: `${what} ${message}` });

  if (after.status === 'COMPLETED' && end !== 'returned')
    broken('P1', `is COMPLETED, and its handler ${end ?? 'has not returned'}`);
  if (after.status === 'COMPLETED' && tookMs > timeoutMs)
    broken('P1', `is COMPLETED, and took longer than ${timeoutMs} ms`);
  if (after.status === 'FAILED' && after.failures < maxAttempts && end !== 'failed for good')
    broken('P1', `is FAILED after ${after.failures} failures`);
  const last = after.failures >= maxAttempts || (isOutcome && end === 'failed for good');
  if (after.status === 'PENDING' && charged > 0 && last)
    broken('P1', 'was the last, and the task waits for another');
  if (before.cancelRequestedAt !== null && after.status !== 'CANCELLED' && after.status !== 'COMPLETED')
    broken('P2', `was to be cancelled, and the task is ${after.status}`);
  if ((commit.statement === 'recover-tasks' || failed) && charged !== 1)
    broken('P2', `failed, and ${charged} failures are charged`);
  if (isOutcome && charged > 0 && !failed && end !== 'aborted' && !tooLong)
    broken('P2', `is charged as a failure, and its handler ${end ?? 'has not ended'}`);
  if (
    isOutcome &&
    end === 'later' &&
    after.status === 'PENDING' &&
    after.dueAt < Math.floor(commit.nowMs + LATER_MS)
  )
    broken('P4', `asked for ${LATER_MS} ms, and is made again after ${after.dueAt - commit.nowMs}`);

  const noteworthy: string[] = [];
  if (isOutcome && tooLong && charged > 0) noteworthy.push('attempts that took longer than they may');
  if (isOutcome && (end === 'later' || end === 'failed for good'))
    noteworthy.push(`handlers that ended: ${end}`);
  return { violation, noteworthy };
}
