import type { Execution, Steps } from '../execution.ts';
import type { TaskRow } from '../rows.ts';
import type { Row } from '../table.ts';
import { epochMs } from './statement.ts';
import type { SqlStatement } from './statement.ts';

interface Own {
  readonly partition: number;
  readonly epoch: number;
  readonly incarnation: string;
}

interface Due {
  readonly row: Row<TaskRow>;
  readonly task: TaskRow;
  readonly own: Own;
}

const MAX_BYTES = 65_536;
const byDue = (a: { task: TaskRow }, b: { task: TaskRow }) =>
  a.task.dueAt - b.task.dueAt || a.task.id - b.task.id;

/** claim-tasks.sql */
export const claimTasks: SqlStatement<
  [number[], number[], string[], claimId: string, workerId: string, limit: number],
  { now_ms: number; held: number[]; tasks: unknown[][] }
> = {
  name: 'claim-tasks',
  *execute(x, partitions, epochs, incarnations, claimId, workerId, limit) {
    x.transaction.lockOwnerTable();
    const own = yield* lockOwn(x, partitions, epochs, incarnations);
    const due = findDue(x, own, limit);

    const locked: Due[] = [];
    for (const { row, own: under } of due) {
      const stillDue = (t: TaskRow) => t.status === 'PENDING' && t.dueAt <= x.nowMs;
      const task = yield* x.select(row, stillDue, 'FOR NO KEY UPDATE', 'SKIP LOCKED');
      if (task !== undefined) locked.push({ row, task, own: under });
    }
    locked.sort(byDue);

    let bytes = 0;
    const picked = locked.filter(({ task }) => (bytes += Buffer.byteLength(task.name) + 250) <= MAX_BYTES);

    const claimed: TaskRow[] = [];
    for (const { row, own: under } of picked) {
      const task = yield* x.update(
        row,
        () => true,
        (t): TaskRow => ({
          ...t,
          status: 'RUNNING',
          attempt: t.attempt + 1,
          startedAt: x.nowMs,
          completedAt: null,
          epoch: under.epoch,
          incarnation: under.incarnation,
          claimId,
          workerId,
        }),
      );
      if (task !== undefined) claimed.push(task);
    }
    const tasks = claimed.map((t) => [
      ...[t.id, t.name, t.partitionId, t.epoch, t.incarnation, t.attempt, t.failures],
      epochMs(t.scheduledAt),
    ]);
    return [{ now_ms: x.nowMs, held: own.map(({ partition }) => partition), tasks }];
  },
};

function* lockOwn(
  x: Execution,
  partitions: readonly number[],
  epochs: readonly number[],
  incarnations: readonly string[],
): Steps<Own[]> {
  const held = partitions
    .map((partition, index) => ({ partition, epoch: epochs[index], incarnation: incarnations[index] }))
    .sort((a, b) => a.partition - b.partition);
  const own: Own[] = [];
  for (const { partition, epoch, incarnation } of held) {
    const owner = yield* x.select(
      x.owners.find(partition, x),
      (o) => o.epoch === epoch && o.incarnation === incarnation,
      'FOR SHARE',
    );
    if (owner !== undefined)
      own.push({ partition, epoch: owner.epoch, incarnation: owner.incarnation ?? '' });
  }
  return own;
}

/** By the snapshot, whatever was waited for meanwhile. */
function findDue(x: Execution, own: readonly Own[], limit: number): Due[] {
  if (own.length === 0) return [];
  const each = Math.min(limit, Math.ceil((4 * limit) / own.length));
  const found = new Map<number, Due[]>();
  for (const { partition } of own) found.set(partition, []);
  for (const row of x.tasks.rows()) {
    const task = row.visibleTo(x);
    if (task?.status !== 'PENDING' || task.dueAt > x.nowMs) continue;
    const under = own.find(({ partition }) => partition === task.partitionId);
    if (under !== undefined) found.get(task.partitionId)?.push({ row, task, own: under });
  }
  const due: Due[] = [];
  for (const inPartition of found.values()) {
    due.push(...(inPartition.length > each ? inPartition.sort(byDue).slice(0, each) : inPartition));
  }
  return due.sort(byDue).slice(0, limit);
}
