import { invariant } from '../core/invariant.ts';
import { partitionOf } from '../core/partition.ts';
import type { Database } from './client.ts';
import type { IdsAhead, ReservedIds } from './ids-ahead.ts';
import { notInitialised } from './pg-errors.ts';
import { loadStatement, numbers, run } from './statement.ts';
import { InvalidInputError } from './stores.ts';
import type { NewTask, NotStored, StoredTask, TaskOnce } from './stores.ts';

const insertUsual = loadStatement('insert-usual');
const insertTasksStatement = loadStatement('insert-tasks');

/** What insert-usual and insert-tasks return. */
interface Inserted {
  /** Null: as they were reserved. */
  readonly ids: number[] | null;
  readonly places: number[] | null;
  /** Null before cluster-init. */
  readonly created_ms: number | null;
  /** Null: none was asked for. */
  readonly next_first: number | null;
  /** Null: next_first and those that follow. */
  readonly next_ids: number[] | null;
  readonly partitions: number | null;
  /** Of insert-tasks. */
  readonly others?: [number: number, createdMs: number, what: 'repeated' | NotStored][];
}

export async function insertTasks(
  db: Database,
  tasks: readonly NewTask[],
  ahead: IdsAhead,
): Promise<StoredTask[]> {
  const stored = await insert(db, tasks, { keys: [], fingerprints: [], keepMs: 0 }, ahead);
  invariant(areStored(stored), 'whatever has no Idempotency-Key is stored');
  return stored;
}

export function insertTasksOnce(
  db: Database,
  asked: readonly TaskOnce[],
  keepMs: number,
  ahead: IdsAhead,
): Promise<(StoredTask | NotStored)[]> {
  const tasks = asked.map(({ task }) => task);
  const keys = asked.map(({ once }) => once && once.key);
  const fingerprints = asked.map(({ once }) => once && once.fingerprint);
  return insert(db, tasks, { keys, fingerprints, keepMs }, ahead);
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
  ahead: IdsAhead,
): Promise<(StoredTask | NotStored)[]> {
  if (tasks.length === 0) return [];
  const reserved = ahead.take(tasks.length);
  const given = reserved && { ids: reserved.ids, places: placesOf(tasks, reserved) };
  const next = ahead.wanted(tasks.length, reserved);
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
    ...[given && numbers(given.ids), given && numbers(given.places), next],
  ]).catch((error: unknown) => {
    // Another server may answer next, one that has not heard of these reservations.
    ahead.clear();
    throw error;
  });
  const createdMs = row?.created_ms ?? null;
  if (row === undefined || createdMs === null) throw notInitialised();
  const { next_first: first, next_ids: nextIds, partitions } = row;
  if (first !== null && partitions !== null)
    ahead.put({ ids: nextIds ?? Array.from({ length: next }, (_, number) => first + number), partitions });
  const { ids = null, places = null } = row.ids ? row : (given ?? {});
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

function placesOf(tasks: readonly NewTask[], { ids, partitions }: ReservedIds): number[] {
  return tasks.map(({ key }, number) => partitionOf(key ?? String(ids[number]), partitions));
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
