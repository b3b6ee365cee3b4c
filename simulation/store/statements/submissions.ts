/** The writes of the scheduler-api. */
import { partitionOf } from '../../../libs/core/partition.ts';
import type { Json } from '../../../libs/core/task.ts';
import type { TaskRow } from '../rows.ts';
import { epochMs } from './statement.ts';
import type { SqlStatement } from './statement.ts';

const SOON_MS = 5_000;

/** insert-tasks.sql */
export const insertTasks: SqlStatement<
  [names: string[], keys: (string | null)[], payloads: string[], scheduled: (number | null)[]],
  { id: number; partition_id: number; scheduled_ms: number; created_ms: number }
> = {
  name: 'insert-tasks',
  *execute(x, names, keys, payloads, scheduled) {
    const { nowMs, transaction } = x;
    const createdAt = Math.floor(nowMs);
    const inserted = names.map((name, index): TaskRow => {
      const id = transaction.nextTaskId();
      const key = keys[index] ?? null;
      const scheduledAt = scheduled[index] ?? Math.floor(nowMs);
      return x.insert(x.tasks, id, {
        id,
        partitionId: partitionOf(key ?? String(id), transaction.partitions),
        status: 'PENDING',
        attempt: 0,
        failures: 0,
        dueAt: Math.max(scheduledAt, nowMs),
        scheduledAt,
        createdAt,
        ...{ startedAt: null, completedAt: null, cancelRequestedAt: null, epoch: null, claimId: null },
        ...{ incarnation: null, workerId: null, name, key, lastError: null },
        payload: JSON.parse(payloads[index] ?? 'null') as Json,
      });
    });
    transaction.notify(
      inserted.filter(({ dueAt }) => dueAt <= nowMs + SOON_MS).map(({ partitionId }) => partitionId),
    );
    return inserted.map((t) => ({
      id: t.id,
      partition_id: t.partitionId,
      scheduled_ms: epochMs(t.scheduledAt),
      created_ms: epochMs(t.createdAt),
    }));
  },
};

/** remove-task.sql */
export const removeTask: SqlStatement<[id: number], { result: 'removed' | 'cancelling' | null }> = {
  name: 'remove-task',
  *execute(x, id) {
    const row = x.tasks.find(id, x);
    const target = yield* x.select(row, () => true, 'FOR UPDATE');
    if (target === undefined) return [{ result: null }];
    if (target.status !== 'RUNNING') {
      yield* x.delete(row, () => true);
      return [{ result: 'removed' }];
    }
    yield* x.update(
      row,
      () => true,
      (t) => ({
        ...t,
        cancelRequestedAt: t.status === 'RUNNING' ? (t.cancelRequestedAt ?? x.nowMs) : null,
      }),
    );
    return [{ result: 'cancelling' }];
  },
};
