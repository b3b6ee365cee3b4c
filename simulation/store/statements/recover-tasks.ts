import type { Execution, Steps } from '../execution.ts';
import type { SessionRow, TaskRow } from '../rows.ts';
import type { Row } from '../table.ts';
import { byText, renewedInTime } from './statement.ts';
import type { SqlStatement } from './statement.ts';

interface Abandoned {
  readonly row: Row<TaskRow>;
  readonly cancelled: boolean;
  readonly delayMs: number | undefined;
}

interface Recovered {
  readonly id: number;
  readonly partition: number;
  readonly attempt: number;
  readonly fromWorkerId: string | null;
  readonly became: string;
}

/** recover-tasks.sql */
export const recoverTasks: SqlStatement<
  [number[], number[], string[], limit: number, delays: number[], own: string[]],
  Recovered
> = {
  name: 'recover-tasks',
  *execute(x, partitions, epochs, incarnations, limit, delays, callers) {
    x.transaction.lockOwnerTable();
    const own = yield* lockOwn(x, partitions, epochs, incarnations, callers);
    const running = own.size === 0 ? [] : findRunning(x, own, callers);
    const expired = yield* lockExpired(x, running);
    const abandoned = yield* lockAbandoned(x, running, expired, limit, delays);

    const recovered: Recovered[] = [];
    for (const { row, cancelled } of abandoned) {
      if (!cancelled) continue;
      const removed = yield* x.delete(row, () => true);
      if (removed !== undefined) recovered.push(toRecovered(removed, 'REMOVED'));
    }
    for (const { row, cancelled, delayMs } of abandoned) {
      if (cancelled) continue;
      const ended = yield* x.update(
        row,
        () => true,
        (t) => end(t, delayMs, x.nowMs),
      );
      if (ended !== undefined) recovered.push(toRecovered(ended, ended.status));
    }
    // Nothing reads from it, and so Postgres runs it after all the rest.
    yield* clamp(x);
    return recovered;
  },
};

function* lockOwn(
  x: Execution,
  partitions: readonly number[],
  epochs: readonly number[],
  incarnations: readonly string[],
  callers: readonly string[],
): Steps<Set<number>> {
  const own = new Set<number>();
  if (!othersRun(x, partitions, callers)) return own;
  const held = partitions
    .map((partition, index) => ({
      partition,
      epoch: epochs[index],
      incarnation: incarnations[index] ?? '',
    }))
    .sort((a, b) => a.partition - b.partition);
  for (const { partition, epoch, incarnation } of held) {
    const session = x.sessions.find(incarnation, x)?.visibleTo(x);
    if (session === undefined) continue;
    if (!renewedInTime(session, x.nowMs)) continue;
    if (session.unbrokenSince + session.leaseMs > x.nowMs) continue;
    const owner = yield* x.select(
      x.owners.find(partition, x),
      (o) => o.epoch === epoch && o.incarnation === incarnation,
      'FOR SHARE',
    );
    if (owner !== undefined) own.add(partition);
  }
  return own;
}

function othersRun(x: Execution, partitions: readonly number[], callers: readonly string[]): boolean {
  for (const row of x.tasks.rows()) {
    const t = row.visibleTo(x);
    if (t?.status !== 'RUNNING' || callers.includes(t.incarnation ?? '')) continue;
    if (partitions.includes(t.partitionId)) return true;
  }
  return false;
}

function findRunning(
  x: Execution,
  own: ReadonlySet<number>,
  callers: readonly string[],
): { row: Row<TaskRow>; task: TaskRow }[] {
  const running: { row: Row<TaskRow>; task: TaskRow }[] = [];
  for (const row of x.tasks.rows()) {
    const task = row.visibleTo(x);
    if (task?.status !== 'RUNNING' || !own.has(task.partitionId)) continue;
    if (callers.includes(task.incarnation ?? '')) continue;
    running.push({ row, task });
  }
  return running;
}

function* lockExpired(x: Execution, running: readonly { task: TaskRow }[]): Steps<Set<string>> {
  const expired = new Set<string>();
  const incarnations = [...new Set(running.map(({ task }) => task.incarnation ?? ''))].sort(byText);
  for (const incarnation of incarnations) {
    const session = yield* x.select(
      x.sessions.find(incarnation, x),
      (s) => s.expiresAt <= x.nowMs,
      'FOR SHARE',
    );
    if (session !== undefined) expired.add(incarnation);
  }
  return expired;
}

function* lockAbandoned(
  x: Execution,
  running: readonly { row: Row<TaskRow>; task: TaskRow }[],
  expired: ReadonlySet<string>,
  limit: number,
  delays: readonly number[],
): Steps<Abandoned[]> {
  const abandoned: Abandoned[] = [];
  for (const { row, task } of running.toSorted((a, b) => a.task.id - b.task.id)) {
    if (abandoned.length === limit) break;
    const incarnation = task.incarnation ?? '';
    const hasSession = x.sessions.find(incarnation, x)?.visibleTo(x) !== undefined;
    if (!expired.has(incarnation) && hasSession) continue;
    const stillRuns = (t: TaskRow) => t.status === 'RUNNING' && t.incarnation === incarnation;
    const newest = yield* x.select(row, stillRuns, 'FOR UPDATE', 'SKIP LOCKED');
    if (newest === undefined) continue;
    const cancelled = newest.cancelRequestedAt !== null;
    abandoned.push({ row, cancelled, delayMs: delays[newest.failures] });
  }
  return abandoned;
}

function end(t: TaskRow, delayMs: number | undefined, nowMs: number): TaskRow {
  return {
    ...t,
    status: delayMs === undefined ? 'FAILED' : 'PENDING',
    dueAt: delayMs === undefined ? t.dueAt : Math.max(t.scheduledAt, nowMs + delayMs),
    completedAt: delayMs === undefined ? nowMs : null,
    failures: t.failures + 1,
    lastError: `attempt ${t.attempt}: worker ${t.workerId ?? ''} was lost, its lease ended`,
    incarnation: null,
    claimId: null,
  };
}

/** `clamped` */
function* clamp(x: Execution): Steps<void> {
  for (const row of x.sessions.rows()) {
    const fromTheFuture = (s: SessionRow) => s.expiresAt > x.transaction.clockTimestampMs() + s.leaseMs;
    const locked = yield* x.select(row, fromTheFuture, 'FOR UPDATE', 'SKIP LOCKED');
    if (locked === undefined) continue;
    yield* x.update(
      row,
      () => true,
      (s) => ({ ...s, expiresAt: x.nowMs + s.leaseMs }),
    );
  }
}

function toRecovered(t: TaskRow, became: string): Recovered {
  return { id: t.id, partition: t.partitionId, attempt: t.attempt, fromWorkerId: t.workerId, became };
}
