import type { TaskStatus } from '../../../libs/core/task.ts';
import type { AttemptEnd } from '../../../libs/db/stores.ts';
import type { TaskRow } from '../rows.ts';
import type { Row } from '../table.ts';
import type { SqlStatement } from './statement.ts';

interface Outcome {
  readonly ordinal: number;
  readonly id: number;
  readonly attempt: number;
  readonly incarnation: string;
  readonly kind: AttemptEnd['kind'];
  readonly delayMs: number | null;
  readonly error: string | null;
}

interface Mine {
  readonly outcome: Outcome;
  readonly row: Row<TaskRow>;
  readonly cancelled: boolean;
}

type Result = 'recorded' | 'refused' | 'changing';

/** finish-tasks.sql */
export const finishTasks: SqlStatement<
  [
    ids: number[],
    attempts: number[],
    incarnations: string[],
    kinds: AttemptEnd['kind'][],
    delays: (number | null)[],
    errors: (string | null)[],
  ],
  { result: Result }
> = {
  name: 'finish-tasks',
  *execute(x, ids, attempts, incarnations, kinds, delays, errors) {
    const outcomes = ids.map((id, ordinal): Outcome => ({
      ordinal,
      id,
      attempt: attempts[ordinal] ?? 0,
      incarnation: incarnations[ordinal] ?? '',
      kind: kinds[ordinal] ?? 'COMPLETED',
      delayMs: delays[ordinal] ?? null,
      error: errors[ordinal] ?? null,
    }));

    const mine: Mine[] = [];
    for (const outcome of outcomes.toSorted((a, b) => a.id - b.id)) {
      const row = x.tasks.find(outcome.id, x);
      const task = yield* x.select(
        row,
        (t) =>
          t.attempt === outcome.attempt && t.incarnation === outcome.incarnation && t.status === 'RUNNING',
        'FOR UPDATE',
      );
      if (row !== undefined && task !== undefined)
        mine.push({ outcome, row, cancelled: task.cancelRequestedAt !== null });
    }

    const due: number[] = [];
    for (const { outcome, row, cancelled } of mine) {
      if (cancelled) continue;
      const ended = yield* x.update(
        row,
        () => true,
        (t) => end(t, outcome, x.nowMs),
      );
      if (ended?.status === 'PENDING' && ended.dueAt <= x.nowMs + 5_000) due.push(ended.partitionId);
    }
    x.transaction.notify(due);

    for (const { row, cancelled } of mine) if (cancelled) yield* x.delete(row, () => true);

    const found = new Set(mine.map(({ outcome }) => outcome));
    return outcomes.map((outcome) => {
      const task = x.tasks.find(outcome.id, x)?.visibleTo(x);
      return { result: found.has(outcome) || task === undefined ? 'recorded' : judge(task, outcome) };
    });
  },
};

/** What becomes of an outcome that was not `mine`, by the task as the snapshot shows it. */
function judge(task: TaskRow, { attempt, incarnation }: Outcome): Result {
  if (task.attempt !== attempt || task.incarnation !== incarnation) return 'refused';
  return task.status === 'RUNNING' ? 'changing' : 'recorded';
}

function end(t: TaskRow, { kind, delayMs, error }: Outcome, nowMs: number): TaskRow {
  const status: TaskStatus = kind === 'COMPLETED' || kind === 'FAILED' ? kind : 'PENDING';
  return {
    ...t,
    status,
    failures: t.failures + (kind === 'RETRY' || kind === 'FAILED' ? 1 : 0),
    dueAt: kind === 'RETRY' ? Math.max(t.scheduledAt, nowMs + (delayMs ?? 0)) : t.dueAt,
    completedAt: status === 'PENDING' ? null : nowMs,
    lastError: error ?? t.lastError,
  };
}
