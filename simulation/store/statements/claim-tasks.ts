import { names, recordKey } from '../rows.ts';
import type { ClaimRecordRow, TaskRow } from '../rows.ts';
import type { Execution, Steps } from '../execution.ts';
import { heldOf, recordsIn } from './statement.ts';
import type { Held, SqlStatement } from './statement.ts';

interface Own extends Held {
  readonly afterDue: number;
  readonly afterId: number;
  readonly recordsFrom: number;
}

const MAX_BYTES = 65_536;
const SHORT_BYTES = 4_096;
const byUrgency = (a: TaskRow, b: TaskRow) => b.priority - a.priority || a.dueAt - b.dueAt || a.id - b.id;

/** claim-tasks.sql, functions/claim_tasks.sql */
export const claimTasks: SqlStatement<
  [
    partitions: number[],
    epochs: number[],
    incarnations: string[],
    afterDueMs: (number | null)[],
    afterIds: (number | null)[],
    recordsFrom: (number | null)[],
    claimId: string,
    workerId: string,
    limit: number,
    names: string[],
    listed: boolean,
  ],
  { now_ms: number; held: number[]; oldest: number[]; record_id: number; tasks: string }
> = {
  name: 'claim-tasks',
  *execute(x, partitions, epochs, incarnations, afterDueMs, afterIds, recordsFrom, ...rest) {
    const [claimId, workerId, limit, filter, listed] = rest;
    const asked = heldOf(partitions, epochs, incarnations).map((part): Own => {
      const index = partitions.indexOf(part.partition);
      return {
        ...part,
        afterDue: afterDueMs[index] ?? -Infinity,
        afterId: afterIds[index] ?? 0,
        recordsFrom: recordsFrom[index] ?? 0,
      };
    });
    x.transaction.lockOwnerTable();
    const own = yield* lockOwn(x, asked);
    const recordId = x.transaction.nextRecordId();

    x.nextStatement();
    const open = findOpen(x, own);
    const { taken, tasks } = fitting(
      findDue(x, own, open, limit, (name) => filter.includes(name) === listed),
    );
    record(x, own, taken, { id: recordId, claimId, workerId });
    const held = own.map(({ partition }) => partition);
    const oldest = held.map((partition) => {
      const ids = open.filter(({ partitionId }) => partitionId === partition).map(({ id }) => id);
      return ids.length > 0 ? Math.min(...ids) : recordId;
    });
    return [{ now_ms: x.nowMs, held, oldest, record_id: recordId, tasks }];
  },
};

/** `held` */
function* lockOwn(x: Execution, asked: readonly Own[]): Steps<Own[]> {
  const own: Own[] = [];
  for (const part of asked) {
    const { partition, epoch, incarnation } = part;
    const owner = yield* x.select(
      x.owners.find(partition, x),
      (o) => o.epoch === epoch && o.incarnation === incarnation,
      'FOR NO KEY UPDATE',
    );
    if (owner !== undefined) own.push(part);
  }
  return own;
}

/** `open` */
function findOpen(x: Execution, own: readonly Own[]): ClaimRecordRow[] {
  const from = new Map(own.map(({ partition, recordsFrom }) => [partition, recordsFrom]));
  return recordsIn(x, new Set(from.keys()), (partition) => from.get(partition) ?? 0);
}

/**
 * `due`, of all priorities at once. What is committed between their statements moves no task from one to another, and changes a
 * task together with its record.
 */
function findDue(
  x: Execution,
  own: readonly Own[],
  open: readonly ClaimRecordRow[],
  limit: number,
  wanted: (name: string) => boolean,
): TaskRow[] {
  if (own.length === 0) return [];
  const each = Math.ceil(limit / own.length);
  const found = new Map<number, { readonly part: Own; readonly tasks: TaskRow[] }>();
  for (const part of own) found.set(part.partition, { part, tasks: [] });
  for (const row of x.tasks.rows()) {
    const t = row.visibleTo(x);
    if (t?.status !== 'PENDING' || t.dueAt > x.nowMs || t.cancelRequestedAt !== null || t.blocked) continue;
    const searched = found.get(t.partitionId);
    if (searched === undefined || !wanted(t.name)) continue;
    const { afterDue, afterId } = searched.part;
    const passed = t.dueAt < afterDue || (t.dueAt === afterDue && t.id <= afterId);
    if (passed && t.priority === 0) continue;
    if (!open.some((record) => names(record, t))) searched.tasks.push(t);
  }
  return [...found.values()]
    .flatMap(({ tasks }) => (tasks.length > each ? tasks.sort(byUrgency).slice(0, each) : tasks))
    .sort(byUrgency)
    .slice(0, limit);
}

/** `tasks`: with their payloads if they fit, or else as many as fit without, and their text. Postgres puts blanks in, which no test comes near enough to see. */
function fitting(due: readonly TaskRow[]): { readonly taken: readonly TaskRow[]; readonly tasks: string } {
  let taken = due.length;
  const whole = JSON.stringify(due.map((t) => [...head(t), ...(isShort(t) ? [t.payload] : [])]));
  if (Buffer.byteLength(whole) <= MAX_BYTES) return { taken: due, tasks: whole };
  for (;;) {
    const tasks = JSON.stringify(due.slice(0, taken).map(head));
    const bytes = Buffer.byteLength(tasks);
    if (bytes <= MAX_BYTES) return { taken: due.slice(0, taken), tasks };
    taken = Math.floor((taken * MAX_BYTES) / bytes);
  }
}

/** `heads` */
function head(t: TaskRow): unknown[] {
  const { policy, priority, serial } = t;
  const long = !isShort(t);
  const asUsual = t.scheduledAt === t.dueAt && policy === null && priority === 0 && !serial && !long;
  const more = asUsual ? 0 : { scheduledAtMs: Math.round(t.scheduledAt), policy, priority, serial, long };
  return [t.id, t.name, t.partitionId, t.attempt + 1, t.failures, Math.round(t.dueAt), more];
}

/** It may go with the claim. */
const isShort = ({ payload }: TaskRow) => Buffer.byteLength(JSON.stringify(payload)) <= SHORT_BYTES;

/** The records. */
function record(
  x: Execution,
  own: readonly Own[],
  taken: readonly TaskRow[],
  claim: Pick<ClaimRecordRow, 'id' | 'claimId' | 'workerId'>,
): void {
  for (const { partition: partitionId, epoch, incarnation } of own) {
    const tasks = taken.filter((t) => t.partitionId === partitionId);
    if (tasks.length === 0) continue;
    x.insert(x.claimRecords, recordKey({ partitionId, id: claim.id }), {
      ...claim,
      ...{ partitionId, epoch, incarnation, claimedAt: x.nowMs },
      taskIds: tasks.map(({ id }) => id),
      attempts: tasks.map(({ attempt }) => attempt + 1),
    });
  }
}
