import { afterLoss, jitterOf } from '../../../libs/core/task.ts';
import type { TaskPolicy } from '../../../libs/core/task.ts';
import { recordKey } from '../rows.ts';
import type { ClaimRecordRow, SessionRow, TaskRow } from '../rows.ts';
import type { Execution, Steps } from '../execution.ts';
import { electHeads } from './elect-heads.ts';
import { byText, heldOf, oldestOf, recordsIn, renewedInTime, visibleTasks } from './statement.ts';
import type { Held, SqlStatement } from './statement.ts';

/** An attempt of a record that is gone. */
interface Lost {
  readonly id: number;
  readonly attempt: number;
  readonly workerId: string;
  readonly epoch: number;
  readonly claimedAt: number;
}

interface Recovered {
  readonly id: number;
  readonly partition: number;
  readonly attempt: number;
  readonly fromWorkerId: string | null;
  readonly became: string;
}

/** recover-tasks.sql, functions/recover_tasks.sql */
export const recoverTasks: SqlStatement<
  [
    ...[number[], number[], string[], limit: number, jitter: number, policy: TaskPolicy, callers: string[]],
    recordsFrom: (number | null)[],
  ],
  Recovered
> = {
  name: 'recover-tasks',
  *execute(x, partitions, epochs, incarnations, limit, jitter, _policy, callers, recordsFrom) {
    const foreign = ({ incarnation }: ClaimRecordRow) => !callers.includes(incarnation);
    const recovered: Recovered[] = [];
    const from = oldestOf(partitions, recordsFrom);
    const foreignIn = (some: Iterable<number>) => recordsIn(x, new Set(some), from).filter(foreign);
    if (foreignIn(partitions).length > 0) {
      x.transaction.lockOwnerTable();
      x.nextStatement();
      const own = yield* lockOwn(x, heldOf(partitions, epochs, incarnations));
      x.nextStatement();
      const expired = own.size === 0 ? undefined : yield* lockExpired(x, foreignIn(own));
      x.nextStatement();
      const lost = expired === undefined ? [] : yield* removeAbandoned(x, foreignIn(own), expired, limit);
      x.nextStatement();
      for (const attempt of lost) recovered.push(...(yield* charge(x, attempt, jitter)));
      x.nextStatement();
      const lines = visibleTasks(
        x,
        lost.map(({ id }) => id),
      );
      for (const attempt of lost) yield* removeCancelled(x, attempt);
      yield* electHeads(x, lines);
    }
    x.nextStatement();
    yield* clamp(x);
    return recovered;
  },
};

/** `own` */
function* lockOwn(x: Execution, held: readonly Held[]): Steps<Set<number>> {
  const own = new Set<number>();
  for (const { partition, epoch, incarnation } of held) {
    const session = x.sessions.find(incarnation, x)?.visibleTo(x);
    if (session === undefined) continue;
    if (!renewedInTime(session, x.nowMs)) continue;
    if (session.unbrokenSince + session.leaseMs > x.nowMs) continue;
    const owner = yield* x.select(
      x.owners.find(partition, x),
      (o) => o.epoch === epoch && o.incarnation === incarnation,
      'FOR NO KEY UPDATE',
    );
    if (owner !== undefined) own.add(partition);
  }
  return own;
}

/** `expired` */
function* lockExpired(x: Execution, running: readonly ClaimRecordRow[]): Steps<Set<string>> {
  const expired = new Set<string>();
  const incarnations = [...new Set(running.map(({ incarnation }) => incarnation))].sort(byText);
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

/** `abandoned`, `removed`. @returns their attempts, in the order of tasks */
function* removeAbandoned(
  x: Execution,
  running: readonly ClaimRecordRow[],
  expired: ReadonlySet<string>,
  limit: number,
): Steps<Lost[]> {
  const abandoned: ClaimRecordRow[] = [];
  for (const record of running.toSorted((a, b) => a.partitionId - b.partitionId || a.id - b.id)) {
    if (abandoned.length === limit) break;
    const { incarnation } = record;
    const hasSession = x.sessions.find(incarnation, x)?.visibleTo(x) !== undefined;
    if (!expired.has(incarnation) && hasSession) continue;
    const row = x.claimRecords.find(recordKey(record), x);
    if ((yield* x.select(row, () => true, 'FOR UPDATE')) !== undefined) abandoned.push(record);
  }
  const lost: Lost[] = [];
  for (const record of abandoned) {
    const { taskIds, attempts, workerId, epoch, claimedAt } = record;
    yield* x.delete(x.claimRecords.find(recordKey(record), x), () => true);
    lost.push(
      ...taskIds.map((id, index) => ({ id, attempt: attempts[index] ?? 0, workerId, epoch, claimedAt })),
    );
  }
  return lost.sort((a, b) => a.id - b.id);
}

/** `ended` */
function* charge(x: Execution, lost: Lost, jitter: number): Steps<Recovered[]> {
  const ended = yield* x.update(
    x.tasks.find(lost.id, x),
    (t) => t.attempt === lost.attempt - 1,
    (t) => end(t, lost, jitter, x.nowMs),
  );
  if (ended === undefined) return [];
  const became = ended.removalRequested ? 'REMOVED' : ended.status;
  const { id, partitionId: partition, attempt, workerId: fromWorkerId } = ended;
  return [{ id, partition, attempt, fromWorkerId, became }];
}

function end(t: TaskRow, lost: Lost, jitter: number, nowMs: number): TaskRow {
  const { attempt, workerId, epoch, claimedAt: startedAt } = lost;
  const after = afterLoss(t.failures, t.policy, { next: () => jitterOf(jitter, t.id) });
  return {
    ...t,
    ...{ attempt, workerId, epoch, startedAt, incarnation: null },
    status: t.cancelRequestedAt === null ? after.status : 'CANCELLED',
    dueAt: after.status === 'FAILED' ? t.dueAt : Math.max(t.scheduledAt, Math.floor(nowMs + after.delayMs)),
    completedAt: after.status === 'FAILED' || t.cancelRequestedAt !== null ? nowMs : null,
    failures: t.failures + 1,
    lastError: `attempt ${attempt}: worker ${workerId} was lost, its lease ended`,
  };
}

function* removeCancelled(x: Execution, { id, attempt }: Lost): Steps<void> {
  const cancelled = (t: TaskRow) => t.attempt === attempt && t.removalRequested;
  yield* x.delete(x.tasks.find(id, x), cancelled);
}

/** Leases from before the clock stepped back. */
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
