/** What users do to a task. */
import type { Json, TaskStatus } from '../../../libs/core/task.ts';
import type {
  CancelResult,
  NotWaiting,
  PatchResult,
  RemoveResult,
  RetryResult,
} from '../../../libs/db/stores.ts';
import type { Execution, Steps } from '../execution.ts';
import { names } from '../rows.ts';
import type { TaskRow } from '../rows.ts';
import { electHeads } from './elect-heads.ts';
import { recordsIn } from './statement.ts';
import type { SqlStatement } from './statement.ts';

const SOON_MS = 5_000;

type Known<Result> = { readonly result: Exclude<Result, 'unknown'> | null };

interface Locked {
  readonly target: TaskRow;
  readonly running: boolean;
  /** Writes its row. */
  readonly change: (by: (t: TaskRow) => TaskRow) => Steps<void>;
}

/** functions/lock_task.sql */
function* lockTask(x: Execution, id: number): Steps<Locked | undefined> {
  const partition = x.tasks.find(id, x)?.visibleTo(x)?.partitionId;
  x.transaction.lockOwnerTable();
  if (partition !== undefined) yield* x.select(x.owners.find(partition, x), () => true, 'FOR NO KEY UPDATE');

  x.nextStatement();
  const target = yield* x.select(x.tasks.find(id, x), () => true, 'FOR UPDATE');
  if (target === undefined) return undefined;

  x.nextStatement();
  const row = x.tasks.find(id, x);
  return {
    target,
    running: recordsIn(x, new Set([target.partitionId])).some((record) => names(record, target)),
    *change(by) {
      yield* x.update(row, () => true, by);
    },
  };
}

/** remove-task.sql, functions/remove_task.sql */
export const removeTask: SqlStatement<[id: number], Known<RemoveResult>> = {
  name: 'remove-task',
  *execute(x, id) {
    const locked = yield* lockTask(x, id);
    if (locked === undefined) return [{ result: null }];
    const { target, running, change } = locked;
    if (!running) {
      yield* x.delete(x.tasks.find(id, x), () => true);
      yield* electHeads(x, [target]);
      return [{ result: 'removed' }];
    }
    if (!target.removalRequested)
      yield* change((t) => ({
        ...t,
        cancelRequestedAt: t.cancelRequestedAt ?? x.nowMs,
        removalRequested: true,
      }));
    x.transaction.notifyCancel(id, target.attempt + 1);
    return [{ result: 'cancelling' }];
  },
};

/** cancel-task.sql, functions/cancel_task.sql */
export const cancelTask: SqlStatement<[id: number], Known<CancelResult>> = {
  name: 'cancel-task',
  *execute(x, id) {
    const locked = yield* lockTask(x, id);
    if (locked === undefined) return [{ result: null }];
    const { target, running, change } = locked;
    if (target.status === 'CANCELLED') return [{ result: 'cancelled' }];
    if (target.status !== 'PENDING') return [{ result: 'ended' }];
    if (running) {
      if (target.cancelRequestedAt === null)
        yield* change((t) => ({ ...t, cancelRequestedAt: x.nowMs, revision: t.revision + 1 }));
      x.transaction.notifyCancel(id, target.attempt + 1);
      return [{ result: 'cancelling' }];
    }
    yield* change((t) => ({ ...t, status: 'CANCELLED', completedAt: x.nowMs, revision: t.revision + 1 }));
    yield* electHeads(x, [target]);
    return [{ result: 'cancelled' }];
  },
};

/** retry-task.sql, functions/retry_task.sql */
export const retryTask: SqlStatement<[id: number], Known<RetryResult>> = {
  name: 'retry-task',
  *execute(x, id) {
    const locked = yield* lockTask(x, id);
    if (locked === undefined) return [{ result: null }];
    const { target, running, change } = locked;
    if (running) return [{ result: 'running' }];
    if (target.status === 'PENDING') return [{ result: 'waiting' }];
    if (target.status === 'COMPLETED') return [{ result: 'completed' }];
    const dueAt = Math.floor(x.nowMs);
    yield* change((t) => ({
      ...t,
      ...{ status: 'PENDING', failures: 0, dueAt, completedAt: null, cancelRequestedAt: null },
      scheduledAt: Math.min(t.scheduledAt, dueAt),
      ...{ blocked: t.serial ? true : null, revision: t.revision + 1 },
    }));
    yield* electHeads(x, [target]);
    x.transaction.notify([target.partitionId], dueAt);
    return [{ result: 'retried' }];
  },
};

/** run-task.sql, functions/run_task.sql */
export const runTask: SqlStatement<[id: number], Known<'due' | NotWaiting>> = {
  name: 'run-task',
  *execute(x, id) {
    const locked = yield* lockTask(x, id);
    if (locked === undefined) return [{ result: null }];
    const { target, change } = locked;
    const reason = notWaiting(locked);
    if (reason !== undefined) return [{ result: reason }];
    const at = Math.floor(x.nowMs);
    yield* change((t) => ({
      ...t,
      ...{ scheduledAt: Math.min(t.scheduledAt, at), dueAt: Math.min(t.dueAt, at), revision: t.revision + 1 },
    }));
    yield* electHeads(x, [target]);
    x.transaction.notify([target.partitionId], at);
    return [{ result: 'due' }];
  },
};

/** patch-task.sql, functions/patch_task.sql */
export const patchTask: SqlStatement<
  [
    id: number,
    versions: readonly string[] | undefined,
    scheduledMs: number | undefined,
    delayMs: number | undefined,
    payload: string | undefined,
    maxAttempts: number | undefined,
    priority: number | undefined,
  ],
  Known<PatchResult>
> = {
  name: 'patch-task',
  *execute(x, id, versions, scheduledMs, delayMs, payload, maxAttempts, priority) {
    const locked = yield* lockTask(x, id);
    if (locked === undefined) return [{ result: null }];
    const { target, change } = locked;
    const reason = notWaiting(locked);
    if (reason !== undefined) return [{ result: reason }];
    if (versions?.includes(`${target.revision}.${target.attempt}`) === false) return [{ result: 'changed' }];
    const now = Math.floor(x.nowMs);
    const scheduledAt = scheduledMs ?? (delayMs === undefined ? undefined : now + delayMs);
    const dueAt = scheduledAt === undefined ? target.dueAt : Math.max(scheduledAt, now);
    yield* change((t) => ({
      ...t,
      ...{ scheduledAt: scheduledAt ?? t.scheduledAt, dueAt, revision: t.revision + 1 },
      payload: payload === undefined ? t.payload : (JSON.parse(payload) as Json),
      policy: maxAttempts === undefined ? t.policy : { ...t.policy, maxAttempts },
      priority: priority ?? t.priority,
    }));
    yield* electHeads(x, [target]);
    if (dueAt <= x.nowMs + SOON_MS) x.transaction.notify([target.partitionId], dueAt);
    return [{ result: 'patched' }];
  },
};

function notWaiting({ target, running }: Locked): Exclude<NotWaiting, 'unknown'> | undefined {
  if (running) return 'running';
  if (target.status === 'PENDING') return undefined;
  return target.status.toLowerCase() as Lowercase<Exclude<TaskStatus, 'PENDING' | 'RUNNING'>>;
}
