import type { Json } from '../../../libs/core/task.ts';
import type { AttemptEnd } from '../../../libs/db/stores.ts';
import { recordKey } from '../rows.ts';
import type { TaskRow } from '../rows.ts';
import type { Execution, Steps } from '../execution.ts';
import { electHeads } from './elect-heads.ts';
import { visibleTasks } from './statement.ts';
import type { SqlStatement } from './statement.ts';

interface Outcome {
  readonly epoch: number;
  readonly ordinal: number;
  readonly id: number;
  readonly attempt: number;
  readonly startedMs: number;
  readonly kind: AttemptEnd['kind'];
  readonly delayMs: number | null;
  readonly error: string | null;
  readonly result: string | null;
}

interface Claimer {
  readonly incarnation: string;
  readonly workerId: string;
}

const SOON_MS = 5_000;

/** finish-tasks.sql, functions/finish_tasks.sql */
export const finishTasks: SqlStatement<
  [
    settledPartitions: number[],
    settledRecords: number[],
    ids: number[],
    attempts: number[],
    epochs: number[],
    startedMs: number[],
    incarnation: string,
    workerId: string,
    kinds: AttemptEnd['kind'][],
    delays: (number | null)[],
    errors: (string | null)[],
    results: (string | null)[],
    serialPartitions: number[],
  ],
  { counted: number[] | null }
> = {
  name: 'finish-tasks',
  *execute(
    x,
    partitions,
    records,
    ids,
    attempts,
    epochs,
    started,
    incarnation,
    workerId,
    kinds,
    delays,
    errors,
    results,
    serialPartitions,
  ) {
    if (serialPartitions.length > 0) x.transaction.lockOwnerTable();
    for (const partition of serialPartitions.toSorted((a, b) => a - b))
      yield* x.select(x.owners.find(partition, x), () => true, 'FOR NO KEY UPDATE');

    x.nextStatement();
    for (const [index, partitionId] of partitions.entries()) {
      const key = recordKey({ partitionId, id: records[index] ?? 0 });
      yield* x.delete(x.claimRecords.find(key, x), () => true);
    }
    const outcomes = ids.map((id, index): Outcome => ({
      epoch: epochs[index] ?? 0,
      ...{ ordinal: index + 1, id, attempt: attempts[index] ?? 0, startedMs: started[index] ?? 0 },
      ...{ kind: kinds[index] ?? 'COMPLETED' },
      ...{
        delayMs: delays[index] ?? null,
        error: messageOf(errors[index] ?? null),
        result: results[index] ?? null,
      },
    }));

    x.nextStatement();
    const ended = yield* endAll(x, outcomes, { incarnation, workerId });
    const again = ended.filter((t) => t.status === 'PENDING' && t.dueAt <= x.nowMs + SOON_MS);

    x.nextStatement();
    const lines = serialPartitions.length > 0 ? visibleTasks(x, ids) : [];
    for (const { id, removalRequested } of ended)
      if (removalRequested) yield* x.delete(x.tasks.find(id, x), () => true);
    x.transaction.notify(
      again.map(({ partitionId }) => partitionId),
      Math.min(...again.map(({ dueAt }) => dueAt)),
    );
    yield* electHeads(x, lines);
    if (ended.length === ids.length) return [{ counted: null }];

    x.nextStatement();
    return [
      {
        counted: outcomes.filter((outcome) => counts(x, outcome, incarnation)).map(({ ordinal }) => ordinal),
      },
    ];
  },
};

/** `ended` */
function* endAll(x: Execution, outcomes: readonly Outcome[], claimer: Claimer): Steps<TaskRow[]> {
  const ended: TaskRow[] = [];
  for (const outcome of outcomes.toSorted((a, b) => a.id - b.id)) {
    const task = yield* x.update(
      x.tasks.find(outcome.id, x),
      (t) => t.attempt === outcome.attempt - 1,
      (t) => end(t, outcome, claimer, x.nowMs),
    );
    if (task !== undefined) ended.push(task);
  }
  return ended;
}

function counts(x: Execution, { id, attempt }: Outcome, incarnation: string): boolean {
  const t = x.tasks.find(id, x)?.visibleTo(x);
  return t === undefined || (t.attempt === attempt && t.incarnation === incarnation);
}

function end(t: TaskRow, outcome: Outcome, claimer: Claimer, nowMs: number): TaskRow {
  const { attempt, epoch, startedMs, kind, delayMs, error, result } = outcome;
  const cancelled = t.cancelRequestedAt !== null && kind !== 'COMPLETED';
  const status = cancelled ? 'CANCELLED' : kind === 'COMPLETED' || kind === 'FAILED' ? kind : 'PENDING';
  return {
    ...t,
    ...{ status, attempt, epoch, ...claimer, startedAt: startedMs },
    failures: t.failures + (kind === 'RETRY' || kind === 'FAILED' ? 1 : 0),
    dueAt: delayMs === null ? t.dueAt : Math.max(t.scheduledAt, Math.floor(nowMs + delayMs)),
    completedAt: status === 'PENDING' ? null : nowMs,
    lastError: error ?? t.lastError,
    result: JSON.parse(result ?? 'null') as Json | null,
  };
}

/** The history of attempts is no part of the simulation: nothing depends on it. */
function messageOf(error: string | null): string | null {
  return error === null ? null : (JSON.parse(error) as { message: string }).message;
}
