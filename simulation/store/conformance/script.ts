/** Interleavings of our statements, to be run on a real and on a simulated Postgres and compared. */
import { toStoreError } from '../../../libs/db/pg-errors.ts';
import { StoreUnavailableError } from '../../../libs/db/stores.ts';
import type { ExecutionStore, OwnershipStore, TaskStore } from '../../../libs/db/stores.ts';
import { recordKey, RETENTION_KEY } from '../rows.ts';
import type { ClaimRecordRow, OwnerRow, RetentionRow, SessionRow, TaskRow } from '../rows.ts';

export interface Stores {
  readonly tasks: TaskStore;
  readonly ownership: OwnershipStore;
  readonly execution: ExecutionStore;
}

/** Columns to set by hand. Times are in minutes from the script's beginning, so that seconds do not matter. */
export type Setting =
  | { readonly table: 'task'; readonly key: number; readonly columns: Partial<TaskRow> }
  | { readonly table: 'claim_record'; readonly key: string; readonly columns: ClaimRecordRow }
  | { readonly table: 'partition_owner'; readonly key: number; readonly columns: Partial<OwnerRow> }
  | { readonly table: 'worker_session'; readonly key: string; readonly columns: Partial<SessionRow> }
  | { readonly table: 'retention'; readonly key: string; readonly columns: Partial<RetentionRow> };

export interface World {
  /** Tasks with the ids 1, 2, …, due at the beginning, and what sets them apart. */
  readonly tasks: readonly Partial<TaskRow>[];
  /** With ids that no claim of the script comes to. */
  readonly records: readonly ClaimRecordRow[];
  /** Of each partition, from 0 on. */
  readonly owners: readonly Partial<OwnerRow>[];
  readonly sessions: readonly SessionRow[];
  /** By default at the beginning of a pass that began with the script. */
  readonly retention?: Partial<RetentionRow>;
}

/** What a connection does next. `untilDone`: on virtual time that long, on real time as long as it takes. */
export type Act =
  'begin' | 'commit' | 'rollback' | { readonly set: Setting } | { readonly untilDoneMs: number } | Call;

/** @param at the time in ms that is so many minutes from the script's beginning, as in a {@link Setting} */
export type Call = (stores: Stores, at: (minutes: number) => number) => Promise<unknown>;

export interface Step {
  /** The connection, called like its application_name. */
  readonly by: string;
  readonly what: string;
  readonly act: Act;
}

/** What a step led to: whose statements are done, with which result, and whose wait. */
export interface Line {
  readonly step: string;
  readonly done: Readonly<Record<string, unknown>>;
  readonly waiting: readonly string[];
}

export interface Ending {
  readonly tasks: readonly unknown[];
  readonly records: readonly unknown[];
  readonly owners: readonly unknown[];
  readonly sessions: readonly unknown[];
  readonly retention: unknown;
  /** Payloads of NOTIFY, in order, their times like all others. */
  readonly notified: readonly string[];
}

/** A database to run scripts on: the real one or the simulated. */
export interface Side {
  prepare(world: World): Promise<void>;
  perform(step: Step): Promise<Line>;
  /** Ends what is open, and tells what the database holds. */
  end(): Promise<Ending>;
}

/** Statements under way, by connection, and what became of them. */
export class UnderWay {
  readonly #pending = new Set<string>();
  #done: [string, unknown][] = [];

  get pending(): readonly string[] {
    return [...this.#pending].sort();
  }

  /** @param beginMs what times in the result are relative to */
  start(by: string, work: Promise<unknown>, beginMs: number): void {
    this.#pending.add(by);
    const settle = (result: unknown) => {
      this.#pending.delete(by);
      this.#done.push([by, result]);
    };
    work.then(
      (result) => settle(comparable(result, beginMs)),
      (error: unknown) => settle(describe(error)),
    );
  }

  line(step: Step): Line {
    const done = this.#done.sort(([a], [b]) => (a < b ? -1 : 1));
    this.#done = [];
    return { step: `${step.by}: ${step.what}`, done: Object.fromEntries(done), waiting: this.pending };
  }
}

function describe(error: unknown): string {
  const known = toStoreError(error) as Error & { code?: string };
  return known instanceof StoreUnavailableError ? 'StoreUnavailableError' : (known.code ?? known.message);
}

/** Whole minutes from the beginning instead of times, which have 13 digits, and no particular order of sets. */
export function comparable(value: unknown, beginMs: number): unknown {
  if (typeof value === 'number' && value > 1e11) return `${Math.round((value - beginMs) / 60_000)} min`;
  if (value instanceof Map) return Object.fromEntries(value);
  if (Array.isArray(value)) return value.map((element) => comparable(element, beginMs));
  if (typeof value !== 'object' || value === null) return value ?? null;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, comparable(field, beginMs)]));
}

/** A row of claim_record with its attempts in the order of tasks: in the array they have none. */
export function inOrder(row: object): object {
  // Postgres' bigint[] comes as texts.
  const { taskIds, attempts, ...columns } = row as { taskIds?: (number | string)[]; attempts?: number[] };
  if (taskIds === undefined) return row;
  const named = taskIds.map((id, index) => ({ id: Number(id), attempt: attempts?.[index] }));
  return { ...columns, named: named.sort((a, b) => a.id - b.id) };
}

/** A payload of NOTIFY, with a time that can be compared. */
export function comparablePayload(payload: string, beginMs: number): string {
  return payload.replace(/^\d+/, (ms) => String(comparable(Number(ms), beginMs)));
}

/** Settings that make `world`, its tasks having been inserted. */
export function settingsOf({ tasks, records, owners, sessions, retention = {} }: World): Setting[] {
  return [
    ...tasks.map((columns, index) => ({ table: 'task', key: index + 1, columns }) as const),
    ...records.map((columns) => ({ table: 'claim_record', key: recordKey(columns), columns }) as const),
    ...owners.map((columns, key) => ({ table: 'partition_owner', key, columns }) as const),
    ...sessions.map((columns) => ({ table: 'worker_session', key: columns.incarnation, columns }) as const),
    { table: 'retention', key: RETENTION_KEY, columns: { place: 0, begunAt: 0, ...retention } },
  ];
}

/** Tasks that are inserted alone are sharded by the database, others by whoever inserts them. */
export const SHARD_FROM = 2;

/** The columns of `columns` that are times. */
export const TIMES = new Set([
  ...['dueAt', 'scheduledAt', 'createdAt', 'startedAt', 'completedAt', 'cancelRequestedAt'],
  ...['acquiredAt', 'claimedAt', 'expiresAt', 'unbrokenSince', 'begunAt'],
]);
