import { seededRandom } from '../../../libs/testing/seeded-random.ts';
import type { ClaimRecordRow, SessionRow, TaskRow } from '../rows.ts';
import type { World } from './script.ts';

export const INCARNATIONS = ['a1', 'a2', 'b1'];
export const PARTITIONS = [0, 1];
export const TASKS = [1, 2, 3, 4, 5, 6];
/** No claim of a script comes to it. */
export const FIRST_RECORD_ID = 101;
export const LEASE_MS = 600_000;

/** Draws from a seed. */
export class Choice {
  readonly #next: () => number;
  readonly uuid: () => string;

  constructor(seed: number) {
    const random = seededRandom(seed);
    this.#next = () => random.next();
    this.uuid = () => random.uuid();
  }

  of<T>(values: readonly T[]): T {
    return values[Math.floor(this.#next() * values.length)] as T;
  }

  chance(probability: number): boolean {
    return this.#next() < probability;
  }

  some<T>(values: readonly T[]): T[] {
    const chosen = values.filter(() => this.chance(0.6));
    return chosen.length > 0 ? chosen : [this.of(values)];
  }
}

interface DrawnTask {
  readonly id: number;
  readonly columns: Partial<TaskRow>;
  /** What a record says of it. */
  readonly claimed?: { readonly incarnation: string; readonly attempt: number };
}

export function drawWorld(choice: Choice): World {
  const tasks = inLines(
    choice,
    TASKS.map((id) => drawTask(choice, id)),
  );
  return {
    tasks: tasks.map(({ columns }) => columns),
    records: drawRecords(choice, tasks),
    owners: PARTITIONS.map(() => {
      const epoch = choice.of([1, 2]);
      if (choice.chance(0.1)) return { epoch };
      const incarnation = choice.of(INCARNATIONS);
      return { epoch, incarnation, owner: incarnation.slice(0, 1), acquiredAt: -60 };
    }),
    sessions: INCARNATIONS.filter(() => choice.chance(0.9)).map((incarnation): SessionRow => ({
      incarnation,
      workerId: incarnation.slice(0, 1),
      backendName: `worker ${incarnation.slice(0, 1)}`,
      leaseMs: LEASE_MS,
      // Renewed just now, a while ago, too long ago, over, long over, before the clock stepped back.
      expiresAt: choice.of([10, 10, 8, 5, -2, -2, -80, 30]),
      unbrokenSince: choice.of([-90, -90, -5]),
      startedAt: -100,
    })),
  };
}

function drawTask(choice: Choice, id: number): DrawnTask {
  const state = choice.of(['WAITING', 'WAITING', 'RUNNING', 'RUNNING', 'COMPLETED', 'FAILED'] as const);
  const partitionId = choice.of(PARTITIONS);
  const dueAt = choice.chance(0.85) ? -10 - id : 10 + id;
  const failures = choice.of([0, 0, 1, 2]);
  const attempt = choice.of([1, 2]);
  const columns = { partitionId, dueAt, failures, createdAt: choice.of([-20, -20, -20, 0]) };
  if (state === 'WAITING') return { id, columns: { ...columns, attempt: attempt - 1 } };
  const incarnation = choice.of(INCARNATIONS);
  const claimed = { incarnation, attempt };
  if (state === 'RUNNING') {
    const cancelRequestedAt = choice.chance(0.2) ? -3 : null;
    return { id, columns: { ...columns, attempt: attempt - 1, cancelRequestedAt }, claimed };
  }
  const ended = { status: state, startedAt: -5, completedAt: -2, workerId: incarnation.slice(0, 1) };
  return {
    id,
    columns: { ...columns, ...ended, attempt, incarnation },
    ...(choice.chance(0.5) && { claimed }),
  };
}

/** Some of `tasks` in lines, of which one at most runs, and then is the head. */
function inLines(choice: Choice, tasks: readonly DrawnTask[]): DrawnTask[] {
  const lines = new Map<string, DrawnTask[]>();
  const serial = tasks.map((task): DrawnTask => {
    const { status = 'PENDING', partitionId } = task.columns;
    const key = choice.of(['k', 'l']);
    const line = lines.get(`${partitionId}/${key}`) ?? [];
    const isTaken = task.claimed !== undefined && line.some(({ claimed }) => claimed !== undefined);
    if (status !== 'PENDING' || isTaken || choice.chance(0.5)) return task;
    const columns = { ...task.columns, key, serial: true, scheduledAt: choice.of([-30, -20]) };
    const drawn = { ...task, columns };
    lines.set(`${partitionId}/${key}`, [...line, drawn]);
    return drawn;
  });
  const heads = new Set(
    [...lines.values()].map((line) => {
      const first = line.reduce((a, b) =>
        (b.columns.scheduledAt ?? 0) < (a.columns.scheduledAt ?? 0) ? b : a,
      );
      return line.find(({ claimed }) => claimed !== undefined) ?? first;
    }),
  );
  return serial.map((task) =>
    task.columns.serial === true
      ? { ...task, columns: { ...task.columns, blocked: !heads.has(task) } }
      : task,
  );
}

/** One for what an incarnation has claimed in a partition, some of which has ended. */
function drawRecords(choice: Choice, tasks: readonly DrawnTask[]): ClaimRecordRow[] {
  const records: ClaimRecordRow[] = [];
  for (const incarnation of INCARNATIONS) {
    for (const partitionId of PARTITIONS) {
      const named = tasks.flatMap(({ id, columns, claimed }) =>
        claimed?.incarnation === incarnation && columns.partitionId === partitionId
          ? [{ id, attempt: claimed.attempt }]
          : [],
      );
      if (named.length === 0) continue;
      records.push({
        ...{ partitionId, id: FIRST_RECORD_ID + records.length, claimId: choice.uuid(), incarnation },
        ...{ workerId: incarnation.slice(0, 1), epoch: 1, claimedAt: -5 },
        taskIds: named.map(({ id }) => id),
        attempts: named.map(({ attempt }) => attempt),
      });
    }
  }
  return records;
}
