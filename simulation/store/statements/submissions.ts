/** The writes of the scheduler-api. */
import { partitionOf } from '../../../libs/core/partition.ts';
import type { Json } from '../../../libs/core/task.ts';
import type { TaskRow } from '../rows.ts';
import { electHeads } from './elect-heads.ts';
import { epochMs } from './statement.ts';
import type { SqlStatement } from './statement.ts';

const SOON_MS = 5_000;

type More = Partial<Pick<TaskRow, 'policy' | 'priority' | 'tags' | 'serial'>>;

const parseMore = (text: string | null = null): More => (JSON.parse(text ?? 'null') as More | null) ?? {};

/** insert-tasks.sql */
export const insertTasks: SqlStatement<
  [
    names: string[],
    keys: (string | null)[],
    payloads: string[],
    scheduled: (number | null)[],
    delays: (number | null)[],
    more: (string | null)[],
  ],
  { id: number; partition_id: number; scheduled_ms: number; created_ms: number }
> = {
  name: 'insert-tasks',
  *execute(x, names, keys, payloads, scheduled, delays, more) {
    const { nowMs, transaction } = x;
    const createdAt = Math.floor(nowMs);
    const inserted = names.map((name, index): TaskRow => {
      const id = transaction.nextTaskId();
      const key = keys[index] ?? null;
      const { policy = null, priority = 0, tags = null, serial = false } = parseMore(more[index]);
      const scheduledAt = scheduled[index] ?? Math.floor(nowMs) + (delays[index] ?? 0);
      return x.insert(x.tasks, id, {
        id,
        partitionId: partitionOf(key ?? String(id), transaction.partitions),
        status: 'PENDING',
        attempt: 0,
        failures: 0,
        dueAt: Math.max(scheduledAt, Math.floor(nowMs)),
        scheduledAt,
        createdAt,
        ...{ startedAt: null, completedAt: null, cancelRequestedAt: null },
        ...{ incarnation: null, workerId: null, epoch: null, name, key, lastError: null },
        payload: JSON.parse(payloads[index] ?? 'null') as Json,
        ...{ policy, priority, tags, serial, blocked: serial ? true : null },
        ...{ result: null, removalRequested: false, revision: 0, progress: null },
      });
    });
    yield* electHeads(x, inserted);
    const soon = inserted.filter(({ serial, dueAt }) => !serial && dueAt <= nowMs + SOON_MS);
    transaction.notify(
      soon.map(({ partitionId }) => partitionId),
      Math.min(...soon.map(({ dueAt }) => dueAt)),
    );
    return inserted.map((t) => ({
      id: t.id,
      partition_id: t.partitionId,
      scheduled_ms: epochMs(t.scheduledAt),
      created_ms: epochMs(t.createdAt),
    }));
  },
};
