import { invariant } from '../core/invariant.ts';
import { partitionOf } from '../core/partition.ts';
import type { Database } from './client.ts';
import { notInitialised } from './pg-errors.ts';
import { loadStatement, numbers, run, runForOne } from './statement.ts';
import { InvalidInputError } from './stores.ts';
import type { NewTask, NotStored, StoredTask, TaskOnce } from './stores.ts';

const reserveIds = loadStatement('reserve-ids');
const insertUsual = loadStatement('insert-usual');
const insertTasksStatement = loadStatement('insert-tasks');

/** What insert-usual and insert-tasks return. */
interface Inserted {
  /** Null: as they were reserved. */
  readonly ids: number[] | null;
  readonly places: number[] | null;
  /** Null before cluster-init. */
  readonly created_ms: number | null;
  /** Of insert-tasks. */
  readonly others?: [number: number, createdMs: number, what: 'repeated' | NotStored][];
}

/** What reserve-ids returns. */
interface Reserved {
  readonly first: number;
  /** Null: first and those that follow. */
  readonly ids: number[] | null;
  /** Null before cluster-init. */
  readonly partitions: number | null;
}

/** @param shardFrom from how many tasks on their partitions are computed here */
export async function insertTasks(
  db: Database,
  tasks: readonly NewTask[],
  shardFrom: number,
): Promise<StoredTask[]> {
  const stored = await insert(db, tasks, { keys: [], fingerprints: [], keepMs: 0 }, shardFrom);
  invariant(areStored(stored), 'whatever has no Idempotency-Key is stored');
  return stored;
}

/** @param shardFrom from how many tasks on their partitions are computed here */
export function insertTasksOnce(
  db: Database,
  asked: readonly TaskOnce[],
  keepMs: number,
  shardFrom: number,
): Promise<(StoredTask | NotStored)[]> {
  const tasks = asked.map(({ task }) => task);
  const keys = asked.map(({ once }) => once && once.key);
  const fingerprints = asked.map(({ once }) => once && once.fingerprint);
  return insert(db, tasks, { keys, fingerprints, keepMs }, shardFrom);
}

function areStored(all: readonly (StoredTask | NotStored)[]): all is StoredTask[] {
  return all.every((one) => typeof one === 'object');
}

interface IdempotencyKeys {
  readonly keys: readonly (string | null)[];
  readonly fingerprints: readonly (string | null)[];
  readonly keepMs: number;
}

async function insert(
  db: Database,
  tasks: readonly NewTask[],
  { keys, fingerprints, keepMs }: IdempotencyKeys,
  shardFrom: number,
): Promise<(StoredTask | NotStored)[]> {
  if (tasks.length === 0) return [];
  const reserved = tasks.length < shardFrom ? null : await reserve(db, tasks);
  // JSON.stringify writes no line breaks; in an array each quotation mark would be escaped, and unescaped once more.
  const payloads = tasks.map(({ payload, payloadText = toJsonText(payload) }) => payloadText).join('\n');
  const usual = [tasks.map(({ name }) => name), column(tasks, ({ key }) => key), payloads];
  const scheduledMs = column(tasks, ({ scheduledAtMs }) => scheduledAtMs);
  const delaysMs = column(tasks, ({ delayMs = null }) => delayMs);
  const more = column(tasks, toMoreText);
  const isUsual = [scheduledMs, delaysMs, more, keys].every(({ length }) => length === 0);
  const unusual = [numbers(scheduledMs), numbers(delaysMs), more, keepMs, keys, fingerprints];
  const [row] = await run<Inserted & object>(db, isUsual ? insertUsual : insertTasksStatement, [
    ...usual,
    ...(isUsual ? [] : unusual),
    ...[reserved && numbers(reserved.ids), reserved && numbers(reserved.places)],
  ]);
  const createdMs = row?.created_ms ?? null;
  if (row === undefined || createdMs === null) throw notInitialised();
  const { ids = null, places = null } = row.ids ? row : (reserved ?? {});
  invariant(
    ids?.length === tasks.length && places?.length === tasks.length,
    'each task that is inserted has an id and a partition',
  );
  const others = new Map(row.others?.map(([number, ...other]) => [number, other]));
  return tasks.map((task, number) => {
    const [createdAtMs, what] = others.get(number) ?? [createdMs, 'stored'];
    if (what === 'reused' || what === 'in flight') return what;
    const id = ids[number];
    const partitionId = places[number];
    invariant(
      id !== undefined && partitionId !== undefined,
      'each task that is inserted has an id and a partition',
    );
    const scheduledAtMs = task.scheduledAtMs ?? createdAtMs + (task.delayMs ?? 0);
    return { id, partitionId, scheduledAtMs, createdAtMs };
  });
}

/**
 * The hash is a quarter of what an INSERT takes, in PL/pgSQL; here it takes a quarter of that, and of processes like this one
 * there may be several.
 * @returns the ids that tasks are to have, and their partitions
 */
async function reserve(
  db: Database,
  tasks: readonly NewTask[],
): Promise<{ readonly ids: readonly number[]; readonly places: readonly number[] }> {
  const reserved = await runForOne<Reserved & object>(db, reserveIds, [tasks.length]);
  const { first, partitions } = reserved;
  if (partitions === null) throw notInitialised();
  const ids = reserved.ids ?? tasks.map((_, number) => first + number);
  const places = tasks.map(({ key }, number) => partitionOf(key ?? String(ids[number]), partitions));
  return { ids, places };
}

/** Of each task; empty where it is null of all, as an array of nulls is as good and takes its time to be written and read. */
function column<T>(tasks: readonly NewTask[], of: (task: NewTask) => T | null): readonly (T | null)[] {
  return tasks.every((task) => of(task) === null) ? [] : tasks.map(of);
}

/** What is not as usual of a task, as JSON text; null: everything is. */
function toMoreText({ policy, priority = 0, tags, serial = false }: NewTask): string | null {
  if (!policy && priority === 0 && !tags && !serial) return null;
  return JSON.stringify({
    ...(policy && { policy }),
    ...(priority !== 0 && { priority }),
    ...(tags && { tags }),
    ...(serial && { serial }),
  });
}

/** @throws InvalidInputError */
export function toJsonText(payload: NewTask['payload']): string {
  try {
    return JSON.stringify(payload);
  } catch (error) {
    // Nested so deep that writing it out overflows the stack.
    throw new InvalidInputError((error as Error).message, { cause: error });
  }
}
