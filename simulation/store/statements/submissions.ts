/** The writes of the scheduler-api. */
import { partitionOf } from '../../../libs/core/partition.ts';
import type { Json } from '../../../libs/core/task.ts';
import type { Execution, Steps } from '../execution.ts';
import type { IdempotencyKeyRow, TaskRow } from '../rows.ts';
import { electHeads } from './elect-heads.ts';
import { byText, epochMs } from './statement.ts';
import type { SqlStatement } from './statement.ts';

const SOON_MS = 5_000;

type More = Partial<Pick<TaskRow, 'policy' | 'priority' | 'tags' | 'serial'>>;

const parseMore = (text: string | null = null): More => (JSON.parse(text ?? 'null') as More | null) ?? {};

/** A task that is to be inserted, and the Idempotency-Key that it came with. */
interface Asked {
  readonly id: number;
  readonly partitionId: number;
  readonly once: string | null;
  readonly fingerprint: string;
}

/** reserve-ids.sql */
export const reserveIds: SqlStatement<
  [count: number],
  { partitions: number; first: number; ids: number[] | null }
> = {
  name: 'reserve-ids',
  *execute({ transaction }, count) {
    const ids = Array.from({ length: count }, () => transaction.nextTaskId());
    yield* [];
    const [first = 0, last = 0] = [ids[0], ids.at(-1)];
    return [{ partitions: transaction.partitions, first, ids: last - first >= count ? ids : null }];
  },
};

/** insert-tasks.sql and the function insert_tasks */
export const insertTasks: SqlStatement<
  [
    names: string[],
    keys: (string | null)[],
    payloads: string,
    scheduled: (number | null)[],
    delays: (number | null)[],
    more: (string | null)[],
    keepMs: number,
    once: (string | null)[],
    fingerprints: (string | null)[],
    reserved: number[] | null,
    reservedPlaces: number[] | null,
  ],
  {
    ids: number[] | null;
    places: number[] | null;
    created_ms: number;
    others: [number, number, string][];
  }
> = {
  name: 'insert-tasks',
  *execute(
    x,
    names,
    keys,
    payloads,
    scheduled,
    delays,
    more,
    keepMs,
    once,
    fingerprints,
    reserved,
    reservedPlaces,
  ) {
    const { nowMs, transaction } = x;
    const createdAt = Math.floor(nowMs);
    const payloadOf = payloads.split('\n');
    const asked = names.map((_, index): Asked => {
      const id = reserved?.[index] ?? transaction.nextTaskId();
      const partitionId =
        reservedPlaces?.[index] ?? partitionOf(keys[index] ?? String(id), transaction.partitions);
      return { id, partitionId, once: once[index] ?? null, fingerprint: fingerprints[index] ?? '' };
    });
    const keysAsked = new Set(asked.flatMap(({ once: wanted }) => wanted ?? []));
    const busy = new Set([...keysAsked].filter((key) => !transaction.tryAdvisoryLock(key)));
    x.nextStatement();
    const free = asked.filter(({ once: wanted }) => wanted !== null && !busy.has(wanted));
    const won = yield* takeKeys(x, free, createdAt, keepMs);
    x.nextStatement();
    yield* removeExpiredKeys(x, 2 * won.size);
    x.nextStatement();

    const inserted = asked.flatMap(({ id, partitionId, once: wanted }, index): TaskRow[] => {
      if (wanted !== null && !won.has(wanted)) return [];
      const { policy = null, priority = 0, tags = null, serial = false } = parseMore(more[index]);
      const scheduledAt = scheduled[index] ?? createdAt + (delays[index] ?? 0);
      const row = x.insert(x.tasks, id, {
        ...{ id, partitionId, status: 'PENDING', attempt: 0, failures: 0 },
        dueAt: Math.max(scheduledAt, createdAt),
        ...{ scheduledAt, createdAt },
        ...{ startedAt: null, completedAt: null, cancelRequestedAt: null },
        ...{ incarnation: null, workerId: null, epoch: null, lastError: null },
        name: names[index] ?? '',
        key: keys[index] ?? null,
        payload: JSON.parse(payloadOf[index] ?? 'null') as Json,
        ...{ policy, priority, tags, serial, blocked: serial ? true : null },
        ...{ result: null, removalRequested: false, revision: 0, progress: null },
      });
      return [row];
    });
    yield* electHeads(x, inserted);
    const soon = inserted.filter(({ serial, dueAt }) => !serial && dueAt <= nowMs + SOON_MS);
    transaction.notify(
      soon.map(({ partitionId }) => partitionId),
      Math.min(...soon.map(({ dueAt }) => dueAt)),
    );

    x.nextStatement();
    const became = asked.map(({ id, partitionId, once: wanted, fingerprint }) => {
      const own = { id, partitionId, createdAt };
      if (wanted !== null && busy.has(wanted)) return { ...own, what: 'in flight' };
      const k =
        wanted === null || won.has(wanted) ? undefined : x.idempotencyKeys.find(wanted, x)?.visibleTo(x);
      if (k === undefined) return { ...own, what: 'stored' };
      const number = asked.filter((other) => other.once === wanted && other.id < id).length;
      return {
        id: k.taskIds[number] ?? id,
        partitionId: k.partitionIds[number] ?? partitionId,
        createdAt: k.createdAt,
        what: k.fingerprint === fingerprint ? 'repeated' : 'reused',
      };
    });
    const others = became.flatMap(({ createdAt: at, what }, index): [number, number, string][] =>
      what === 'stored' ? [] : [[index, epochMs(at), what]],
    );
    const asReserved = reserved !== null && others.length === 0;
    return [
      {
        ids: asReserved ? null : became.map(({ id }) => id),
        places: asReserved ? null : became.map(({ partitionId }) => partitionId),
        created_ms: epochMs(createdAt),
        others,
      },
    ];
  },
};

/** insert-usual.sql */
export const insertUsual: SqlStatement<
  [
    names: string[],
    keys: (string | null)[],
    payloads: string,
    reserved: number[] | null,
    reservedPlaces: number[] | null,
  ],
  { ids: number[] | null; places: number[] | null; created_ms: number }
> = {
  name: 'insert-usual',
  execute: (x, names, keys, payloads, reserved, reservedPlaces) =>
    insertTasks.execute(x, names, keys, payloads, [], [], [], 0, [], [], reserved, reservedPlaces),
};

/** Those that have been over for longest. */
function* removeExpiredKeys(x: Execution, most: number): Steps<void> {
  const isOver = (k: IdempotencyKeyRow) => k.expiresAt <= x.nowMs;
  const expired = [...x.idempotencyKeys.rows()]
    .flatMap((row) => row.visibleTo(x) ?? [])
    .filter(isOver)
    .sort((a, b) => a.expiresAt - b.expiresAt);
  const locked: string[] = [];
  for (const { key } of expired) {
    if (locked.length === most) break;
    const k = yield* x.select(x.idempotencyKeys.find(key, x), isOver, 'FOR UPDATE', 'SKIP LOCKED');
    if (k !== undefined) locked.push(key);
  }
  for (const key of locked) yield* x.delete(x.idempotencyKeys.find(key, x), () => true);
}

/** @returns the keys that nobody has used, or not for long */
function* takeKeys(
  x: Execution,
  asked: readonly Asked[],
  createdAt: number,
  keepMs: number,
): Steps<ReadonlySet<string>> {
  const won = new Set<string>();
  const keys = new Set(asked.flatMap(({ once }) => once ?? []));
  for (const key of [...keys].sort(byText)) {
    const own = asked.filter(({ once }) => once === key);
    const row: IdempotencyKeyRow = {
      key,
      fingerprint: own.map(({ fingerprint }) => fingerprint).sort(byText)[0] ?? '',
      taskIds: own.map(({ id }) => id),
      partitionIds: own.map(({ partitionId }) => partitionId),
      createdAt,
      expiresAt: x.nowMs + keepMs,
    };
    const isOver = (k: IdempotencyKeyRow) => k.expiresAt <= x.nowMs;
    const stored = yield* x.upsert(x.idempotencyKeys, key, row, () => row, isOver);
    if (stored !== undefined) won.add(key);
  }
  return won;
}
