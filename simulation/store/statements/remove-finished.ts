import { RETENTION_KEY } from '../rows.ts';
import type { TaskRow } from '../rows.ts';
import type { Execution } from '../execution.ts';
import type { SqlStatement } from './statement.ts';

interface Removed {
  readonly passed: number | null;
  readonly removed: number | null;
  readonly to_go_ms: number | null;
  readonly done: boolean | null;
}

/** remove-finished.sql, functions/remove_finished.sql */
export const removeFinished: SqlStatement<
  [keepMs: number, passMs: number, span: number, most: number],
  Removed
> = {
  name: 'remove-finished',
  *execute(x, keepMs, passMs, span, most) {
    const cutoff = x.nowMs - keepMs;
    const row = x.retention.find(RETENTION_KEY, x);
    const walk = yield* x.select(row, () => true, 'FOR UPDATE', 'SKIP LOCKED');
    if (walk === undefined) return [{ passed: null, removed: null, to_go_ms: null, done: null }];
    const newest = x.transaction.lastTaskId();
    const upto = Math.min(walk.place + span, newest);

    x.nextStatement();
    const part = tasksBetween(x, walk.place, upto).slice(0, most);
    const young = part.findIndex(({ createdAt }) => createdAt > cutoff);
    const passed = young < 0 ? part : part.slice(0, young);
    const lastPassed = passed.at(-1)?.id;

    x.nextStatement();
    const over = (t: TaskRow) => t.status !== 'PENDING' && t.completedAt !== null && t.completedAt <= cutoff;
    const locked: number[] = [];
    for (const { id } of tasksBetween(x, walk.place, lastPassed ?? 0)) {
      const task = yield* x.select(x.tasks.find(id, x), over, 'FOR UPDATE', 'SKIP LOCKED');
      if (task !== undefined) locked.push(id);
    }
    for (const id of locked) yield* x.delete(x.tasks.find(id, x), () => true);

    x.nextStatement();
    const done = young >= 0 || (passed.length < most && upto === newest);
    const anew = done && (walk.begunAt > x.nowMs || walk.begunAt <= x.nowMs - passMs);
    const place = young >= 0 || passed.length === most ? (lastPassed ?? walk.place) : upto;
    if (anew || place !== walk.place)
      yield* x.update(
        row,
        () => true,
        (r) => (anew ? { place: 0, begunAt: x.nowMs } : { ...r, place }),
      );
    return [
      {
        ...{ passed: passed.length, removed: locked.length, done: done && !anew },
        to_go_ms: passed.length === 0 ? null : cutoff - Math.max(...passed.map(({ createdAt }) => createdAt)),
      },
    ];
  },
};

/** Those with an id above the first and up to the second, by id. */
function tasksBetween(x: Execution, above: number, upto: number): TaskRow[] {
  const tasks: TaskRow[] = [];
  for (const row of x.tasks.rows()) {
    const task = row.visibleTo(x);
    if (task !== undefined && task.id > above && task.id <= upto) tasks.push(task);
  }
  return tasks.sort((a, b) => a.id - b.id);
}
