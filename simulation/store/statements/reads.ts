/** The statements that lock nothing. */
import type { Json } from '../../../libs/core/task.ts';
import type { ClusterMeta, RunningRow, TaskRecord, TaskStore } from '../../../libs/db/stores.ts';
import { names, recordKey, toTaskState } from '../rows.ts';
import type { ClaimRecordRow, SessionRow, TaskRow } from '../rows.ts';
import type { StatementFn } from '../execution.ts';
import { byText, epochMs, oldestOf, recordsIn } from './statement.ts';
import type { SqlStatement } from './statement.ts';

const SHOW_DEAD_WORKERS_MS = 300_000;

/** peek-due.sql */
export const peekDue: SqlStatement<
  [
    partitions: number[],
    afterDueMs: (number | null)[],
    afterIds: (number | null)[],
    recordsFrom: (number | null)[],
    horizonMs: number,
    own: string[],
    names: string[],
    listed: boolean,
  ],
  { now_ms: number; due: [number, number][]; others: boolean }
> = {
  name: 'peek-due',
  *execute(x, partitions, afterDueMs, afterIds, recordsFrom, horizonMs, own, filter, listed) {
    const earliest = new Map<number, number>();
    const open = recordsIn(x, new Set(partitions), oldestOf(partitions, recordsFrom));
    for (const row of x.tasks.rows()) {
      const t = row.visibleTo(x);
      if (t?.status !== 'PENDING' || t.dueAt > x.nowMs + horizonMs || t.cancelRequestedAt !== null) continue;
      if (t.blocked === true || filter.includes(t.name) !== listed) continue;
      const index = partitions.indexOf(t.partitionId);
      const afterDue = afterDueMs[index] ?? -Infinity;
      if (index < 0) continue;
      const passed = t.dueAt < afterDue || (t.dueAt === afterDue && t.id <= (afterIds[index] ?? 0));
      if (passed && t.priority === 0) continue;
      if (t.dueAt >= (earliest.get(t.partitionId) ?? Infinity)) continue;
      if (!open.some((record) => names(record, t))) earliest.set(t.partitionId, t.dueAt);
    }
    const due: [number, number][] = [];
    for (const partition of partitions) {
      const dueAt = earliest.get(partition);
      if (dueAt !== undefined) due.push([partition, epochMs(dueAt)]);
    }
    const others = open.some(({ incarnation }) => !own.includes(incarnation));
    return [{ now_ms: x.nowMs, due, others }];
  },
};

/** unhandled-tasks.sql, without its bounds */
export const unhandledTasks: SqlStatement<
  [partitions: number[], names: string[]],
  { name: string; count: number }
> = {
  name: 'unhandled-tasks',
  *execute(x, partitions, handled) {
    const counts = new Map<string, number>();
    for (const row of x.tasks.rows()) {
      const t = row.visibleTo(x);
      if (t?.status !== 'PENDING' || t.dueAt > x.nowMs || t.blocked === true) continue;
      if (partitions.includes(t.partitionId) && !handled.includes(t.name))
        counts.set(t.name, (counts.get(t.name) ?? 0) + 1);
    }
    return [...counts].map(([name, count]) => ({ name, count })).sort((a, b) => byText(a.name, b.name));
  },
};

/** running-tasks.sql */
export const runningTasks: SqlStatement<
  [incarnations: string[], partitions: number[], recordsFrom: (number | null)[]],
  RunningRow
> = {
  name: 'running-tasks',
  *execute(x, incarnations, partitions, recordsFrom) {
    const running: RunningRow[] = [];
    for (const record of recordsIn(x, new Set(partitions), oldestOf(partitions, recordsFrom))) {
      if (!incarnations.includes(record.incarnation)) continue;
      for (const [index, id] of record.taskIds.entries()) {
        const t = x.tasks.find(id, x)?.visibleTo(x);
        const attempt = record.attempts[index] ?? 0;
        if (t?.attempt === attempt - 1) running.push(toRunningRow(t, record, attempt));
      }
    }
    return running.sort((a, b) => a.id - b.id);
  },
};

function toRunningRow(t: TaskRow, record: ClaimRecordRow, attempt: number): RunningRow {
  const { id, claimId, claimedAt: claimedAtMs, epoch, incarnation } = record;
  return {
    ...{ id: t.id, name: t.name, partition: t.partitionId, attempt, failures: t.failures },
    ...{ record: id, claimId, claimedAtMs, epoch, incarnation },
    policy: t.policy,
    priority: t.priority,
    serial: t.serial,
    scheduledAtMs: epochMs(t.scheduledAt),
    dueAtMs: epochMs(t.dueAt),
    cancelRequested: t.cancelRequestedAt !== null,
  };
}

/** task-payloads.sql */
export const taskPayloads: SqlStatement<
  [ids: number[], attempts: number[], incarnations: string[], partitions: number[], records: number[]],
  { id: number; payload: Json }
> = {
  name: 'task-payloads',
  *execute(x, ids, attempts, incarnations, partitions, records) {
    return ids.flatMap((id, index) => {
      const key = recordKey({ partitionId: partitions[index] ?? -1, id: records[index] ?? 0 });
      const record = x.claimRecords.find(key, x)?.visibleTo(x);
      if (record?.incarnation !== incarnations[index]) return [];
      const t = x.tasks.find(id, x)?.visibleTo(x);
      return t !== undefined && t.attempt === (attempts[index] ?? 0) - 1 ? [{ id, payload: t.payload }] : [];
    });
  },
};

/** read-meta.sql */
export const readMeta: SqlStatement<[], ClusterMeta> = {
  name: 'read-meta',
  *execute({ transaction: { uid, partitions } }) {
    return [{ uid, partitions }];
  },
};

export const getTask = (id: number): StatementFn<TaskRecord | null> => ({
  name: 'get-task',
  *execute(x) {
    const row = x.tasks.find(id, x)?.visibleTo(x);
    if (row === undefined) return null;
    const t = toTaskState(
      row,
      recordsIn(x, new Set([row.partitionId])).find((record) => names(record, row)),
    );
    const session =
      t.status === 'RUNNING' ? x.sessions.find(t.incarnation ?? '', x)?.visibleTo(x) : undefined;
    return {
      ...{ id: t.id, name: t.name, key: t.key, partitionId: t.partitionId, payload: t.payload },
      ...{ status: t.status, attempt: t.attempt, failures: t.failures },
      scheduledAtMs: epochMs(t.scheduledAt),
      createdAtMs: epochMs(t.createdAt),
      startedAtMs: t.startedAt === null ? null : epochMs(t.startedAt),
      completedAtMs: t.completedAt === null ? null : epochMs(t.completedAt),
      workerId: t.workerId,
      leaseExpiresAtMs: session === undefined ? null : epochMs(session.expiresAt),
      lastError: t.lastError,
      policy: t.policy,
      ...{ priority: t.priority, tags: t.tags, serial: t.serial },
      progress: t.progress?.attempt === t.attempt ? { done: t.progress.done, note: t.progress.note } : null,
      result: t.result,
      revision: t.revision,
    };
  },
});

type ClusterView = Awaited<ReturnType<TaskStore['cluster']>>;

export const readOwners: StatementFn<ClusterView['partitions']> = {
  name: 'read-owners',
  *execute(x) {
    const partitions: ClusterView['partitions'] = [];
    for (const row of x.owners.rows()) {
      const o = row.visibleTo(x);
      if (o !== undefined) partitions.push({ id: o.partitionId, owner: o.owner, epoch: o.epoch });
    }
    return partitions.sort((a, b) => a.id - b.id);
  },
};

/** Each worker's newest session. */
export const readSessions: StatementFn<
  { id: string; alive: boolean; recent: boolean; leaseExpiresAtMs: number }[]
> = {
  name: 'read-sessions',
  *execute(x) {
    const newest = new Map<string, SessionRow>();
    for (const row of x.sessions.rows()) {
      const s = row.visibleTo(x);
      if (s === undefined) continue;
      const other = newest.get(s.workerId);
      const newer = other === undefined ? 1 : s.startedAt - other.startedAt || s.expiresAt - other.expiresAt;
      if (newer > 0) newest.set(s.workerId, s);
    }
    return [...newest.values()]
      .sort((a, b) => byText(a.workerId, b.workerId))
      .map(({ workerId, expiresAt }) => ({
        id: workerId,
        alive: expiresAt > x.nowMs,
        recent: expiresAt > x.nowMs - SHOW_DEAD_WORKERS_MS,
        leaseExpiresAtMs: epochMs(expiresAt),
      }));
  },
};
