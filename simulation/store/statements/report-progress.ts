import type { Execution } from '../execution.ts';
import { recordKey } from '../rows.ts';
import type { TaskRow } from '../rows.ts';
import type { SqlStatement } from './statement.ts';

/** report-progress.sql */
export const reportProgress: SqlStatement<
  [
    ids: number[],
    attempts: number[],
    incarnations: string[],
    partitions: number[],
    records: number[],
    done: number[],
    notes: (string | null)[],
  ],
  { id: number }
> = {
  name: 'report-progress',
  *execute(x, ids, attempts, incarnations, partitions, records, done, notes) {
    const reports = ids.map((id, index) => ({
      ...{ id, attempt: attempts[index] ?? 0, incarnation: incarnations[index] ?? '' },
      ...{ partitionId: partitions[index] ?? -1, record: records[index] ?? 0 },
      ...{ done: done[index] ?? 0, note: notes[index] ?? null },
    }));
    const own: typeof reports = [];
    for (const report of reports.toSorted((a, b) => a.id - b.id)) {
      const named = isNamed(x, report);
      const where = (t: TaskRow) => named && t.attempt === report.attempt - 1;
      const locked = yield* x.select(x.tasks.find(report.id, x), where, 'FOR NO KEY UPDATE', 'SKIP LOCKED');
      if (locked !== undefined) own.push(report);
    }
    const stored: { id: number }[] = [];
    for (const { id, attempt, done: share, note } of own) {
      const progress = { attempt, done: share, note };
      const updated: TaskRow | undefined = yield* x.update(
        x.tasks.find(id, x),
        () => true,
        (t) => ({ ...t, progress }),
      );
      if (updated !== undefined) stored.push({ id });
    }
    return stored;
  },
};

/** Whether the record that the snapshot shows names this attempt as its claimer's. */
function isNamed(
  x: Execution,
  report: {
    readonly id: number;
    readonly attempt: number;
    readonly incarnation: string;
    readonly partitionId: number;
    readonly record: number;
  },
): boolean {
  const key = recordKey({ partitionId: report.partitionId, id: report.record });
  const record = x.claimRecords.find(key, x)?.visibleTo(x);
  if (record?.incarnation !== report.incarnation) return false;
  return record.attempts[record.taskIds.indexOf(report.id)] === report.attempt;
}
