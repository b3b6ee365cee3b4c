import type { Execution, Steps } from '../execution.ts';
import { names } from '../rows.ts';
import type { TaskRow } from '../rows.ts';
import { recordsIn } from './statement.ts';

const SOON_MS = 5_000;

/** Its partition and key: the serial tasks that have them run one at a time. */
const lineOf = ({ partitionId, key }: TaskRow) => `${partitionId}/${key ?? ''}`;

type Place = Pick<TaskRow, 'scheduledAt' | 'id'>;

/** By what comes first in a line. */
export const inLine = (a: Place, b: Place): number => a.scheduledAt - b.scheduledAt || a.id - b.id;

/** functions/elect_heads.sql: of the lines of those among `tasks` that are serial. */
export function* electHeads(x: Execution, tasks: readonly TaskRow[]): Steps<void> {
  const lines = tasks.filter(({ serial }) => serial);
  if (lines.length === 0) return;
  x.transaction.lockOwnerTable();
  x.nextStatement();
  const partitions = [...new Set(lines.map(({ partitionId }) => partitionId))].sort((a, b) => a - b);
  for (const partition of partitions)
    yield* x.select(x.owners.find(partition, x), () => true, 'FOR NO KEY UPDATE');

  x.nextStatement();
  const changes = turnsOf(x, lines);
  if (changes.length === 0) return;

  x.nextStatement();
  for (const { head } of changes) {
    if (head === undefined) continue;
    yield* x.update(
      x.tasks.find(head.id, x),
      () => true,
      (t) => ({ ...t, blocked: true }),
    );
  }
  x.nextStatement();
  const soon: TaskRow[] = [];
  for (const { next } of changes) {
    const freed = yield* x.update(
      x.tasks.find(next.id, x),
      () => true,
      (t) => ({ ...t, blocked: false, dueAt: Math.max(t.dueAt, Math.floor(x.nowMs)) }),
    );
    if (freed !== undefined && freed.dueAt <= x.nowMs + SOON_MS) soon.push(freed);
  }
  x.transaction.notify(
    soon.map(({ partitionId }) => partitionId),
    Math.min(...soon.map(({ dueAt }) => dueAt)),
  );
}

/** Whose turn has come, and whose is over. */
function turnsOf(x: Execution, lines: readonly TaskRow[]): { next: TaskRow; head: TaskRow | undefined }[] {
  const waiting: TaskRow[] = [];
  for (const row of x.tasks.rows()) {
    const t = row.visibleTo(x);
    if (t?.status === 'PENDING' && t.blocked !== null) waiting.push(t);
  }
  return [...new Set(lines.map(lineOf))].flatMap((line) => {
    const inIt = waiting.filter((t) => lineOf(t) === line).sort(inLine);
    const next = inIt.find(({ blocked }) => blocked === true);
    const head = inIt.find(({ blocked }) => blocked === false);
    if (next === undefined) return [];
    if (head !== undefined && (inLine(head, next) < 0 || runs(x, head))) return [];
    return [{ next, head }];
  });
}

const runs = (x: Execution, task: TaskRow): boolean =>
  recordsIn(x, new Set([task.partitionId])).some((record) => names(record, task));
