/** The statements that lock nothing. */
import type { Json } from '../../../libs/core/task.ts';
import type { ClusterMeta, RunningRow, TaskRecord, TaskStore } from '../../../libs/db/stores.ts';
import type { SessionRow } from '../rows.ts';
import type { StatementFn } from '../execution.ts';
import { byText, epochMs } from './statement.ts';
import type { SqlStatement } from './statement.ts';

const SHOW_DEAD_WORKERS_MS = 300_000;

/** peek-due.sql */
export const peekDue: SqlStatement<
  [partitions: number[], horizonMs: number],
  { now_ms: number; due: [number, number][] }
> = {
  name: 'peek-due',
  *execute(x, partitions, horizonMs) {
    const earliest = new Map<number, number>();
    for (const row of x.tasks.rows()) {
      const t = row.visibleTo(x);
      if (t?.status !== 'PENDING' || t.dueAt > x.nowMs + horizonMs) continue;
      const before = earliest.get(t.partitionId);
      if (before === undefined || t.dueAt < before) earliest.set(t.partitionId, t.dueAt);
    }
    const due: [number, number][] = [];
    for (const partition of partitions) {
      const dueAt = earliest.get(partition);
      if (dueAt !== undefined) due.push([partition, epochMs(dueAt)]);
    }
    return [{ now_ms: x.nowMs, due }];
  },
};

/** running-tasks.sql */
export const runningTasks: SqlStatement<[incarnations: string[]], RunningRow> = {
  name: 'running-tasks',
  *execute(x, incarnations) {
    const running: RunningRow[] = [];
    for (const row of x.tasks.rows()) {
      const t = row.visibleTo(x);
      if (t?.status !== 'RUNNING' || !incarnations.includes(t.incarnation ?? '')) continue;
      running.push({
        id: t.id,
        name: t.name,
        partition: t.partitionId,
        epoch: t.epoch ?? 0,
        incarnation: t.incarnation ?? '',
        attempt: t.attempt,
        failures: t.failures,
        scheduledAtMs: epochMs(t.scheduledAt),
        claimId: t.claimId ?? '',
        cancelRequested: t.cancelRequestedAt !== null,
      });
    }
    return running.sort((a, b) => a.id - b.id);
  },
};

/** task-payloads.sql */
export const taskPayloads: SqlStatement<
  [ids: number[], attempts: number[], incarnations: string[]],
  { id: number; payload: Json }
> = {
  name: 'task-payloads',
  *execute(x, ids, attempts, incarnations) {
    return ids.flatMap((id, index) => {
      const t = x.tasks.find(id, x)?.visibleTo(x);
      const same = t?.attempt === attempts[index] && t?.incarnation === incarnations[index];
      return t !== undefined && same && t.status === 'RUNNING' ? [{ id, payload: t.payload }] : [];
    });
  },
};

export const readMeta: StatementFn<ClusterMeta> = {
  name: 'read-meta',
  *execute({ transaction: { uid, partitions } }) {
    return { uid, partitions };
  },
};

export const getTask = (id: number): StatementFn<TaskRecord | null> => ({
  name: 'get-task',
  *execute(x) {
    const t = x.tasks.find(id, x)?.visibleTo(x);
    if (t === undefined) return null;
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
