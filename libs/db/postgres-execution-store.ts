import { invariant } from '../core/invariant.ts';
import { DEFAULT_POLICY } from '../core/task.ts';
import type { Json, TaskPolicy } from '../core/task.ts';
import type { Database } from './client.ts';
import { loadStatement, numbers, run, runForOne } from './statement.ts';
import type { NumberArray } from './statement.ts';
import { ANY_NAME } from './stores.ts';
import type {
  AttemptError,
  Beyond,
  ClaimedTask,
  ClaimRecord,
  ExecutionStore,
  Held,
  Outcome,
  OutcomeResult,
  Recovered,
  RemovedFinished,
  RunningRow,
} from './stores.ts';

const peekDue = loadStatement('peek-due');
const claimTasks = loadStatement('claim-tasks');
const unhandledTasks = loadStatement('unhandled-tasks');
const clearSessions = loadStatement('clear-sessions');
const taskPayloads = loadStatement('task-payloads');
const finishTasks = loadStatement('finish-tasks');
const reportProgress = loadStatement('report-progress');
const runningTasks = loadStatement('running-tasks');
const recoverTasks = loadStatement('recover-tasks');
const removeFinished = loadStatement('remove-finished');

/** Of a claim's tasks, as claim_tasks has it. */
const MAX_REPLY_BYTES = 65_536;
const RECOVER_RECORDS = 100;
const RECOVER_ROUNDS = 40;
/** Longer texts of errors are cut: the column is for people. */
const MAX_ERROR_CHARS = 2_000;
const MAX_ERROR_NAME_CHARS = 200;
const MAX_ERROR_STACK_CHARS = 8_000;
const MAX_NOTE_CHARS = 200;

type ClaimedColumns = [
  id: number,
  name: string,
  partition: number,
  attempt: number,
  failures: number,
  dueAtMs: number,
  /** 0: scheduled as due, and as is usual, with a short payload. Null, of a function of the build before: with any payload. */
  more:
    | {
        readonly scheduledAtMs: number;
        readonly policy: TaskPolicy | null;
        readonly priority: number;
        readonly serial: boolean;
        readonly long?: boolean;
      }
    | 0
    | null,
  payload?: Json,
];

interface PeekRow {
  readonly now_ms: number;
  readonly due: [number, number][];
  readonly others: boolean;
}

interface ClaimRow {
  readonly now_ms: number;
  readonly held: number[];
  readonly oldest: number[];
  readonly record_id: number;
  /** JSON of {@link ClaimedColumns}[] */
  readonly tasks: string;
}

type RemovedRow = (
  { readonly passed: null; readonly removed: null; readonly done: null } | Omit<RemovedFinished, 'toGoMs'>
) & { readonly to_go_ms: number | null };

/** Claims, outcomes, and the removal of what ended long ago. `db` stays the caller's to close. */
export function postgresExecutionStore({ db }: { readonly db: Database }): ExecutionStore {
  return {
    async peek(partitions, horizonMs, own, { names, listed } = ANY_NAME) {
      const row = await runForOne<PeekRow>(db, peekDue, [
        numbers(partitions.map(({ partition }) => partition)),
        ...positions(partitions),
        horizonMs,
        own,
        ...[names, listed],
      ]);
      const due = row.due.map(([partition, dueAtMs]) => ({ partition, dueAtMs }));
      return { dbNowMs: row.now_ms, due, othersRun: row.others };
    },
    unhandled: (partitions, names) => run(db, unhandledTasks, [partitions, names]),
    async claim({ claimId, workerId, held, limit, names: { names, listed } = ANY_NAME }) {
      const row = await runForOne<ClaimRow>(db, claimTasks, [
        ...[...columns(held), ...positions(held)],
        ...[claimId, workerId, limit, names, listed],
      ]);
      const { now_ms: dbNowMs, held: stood, oldest: oldestRecords } = row;
      const tasks = toClaimedTasks(row, held);
      return { dbNowMs, held: stood, oldestRecords, tasks, fitting: fittingReply(tasks, row.tasks) };
    },
    async payloads(attempts) {
      const rows = await run<{ id: number; payload: Json }>(db, taskPayloads, [
        numbers(attempts.map(({ id }) => id)),
        numbers(attempts.map(({ attempt }) => attempt)),
        attempts.map(({ incarnation }) => incarnation),
        numbers(attempts.map(({ partition }) => partition)),
        numbers(attempts.map(({ record }) => record)),
      ]);
      return new Map(rows.map(({ id, payload }) => [id, payload]));
    },
    async clearSessions() {
      await run(db, clearSessions, []);
    },
    finish: (outcomes, settled) => finish(db, outcomes, settled),
    async reportProgress(reports) {
      const rows = await run<{ id: number }>(db, reportProgress, [
        numbers(reports.map(({ id }) => id)),
        numbers(reports.map(({ attempt }) => attempt)),
        reports.map(({ incarnation }) => incarnation),
        numbers(reports.map(({ partition }) => partition)),
        numbers(reports.map(({ record }) => record)),
        numbers(reports.map(({ done }) => done)),
        reports.map(({ note }) => (note === null ? null : toStorableText(note, MAX_NOTE_CHARS))),
      ]);
      return rows.map(({ id }) => id);
    },
    running(incarnations, within) {
      const partitions = numbers(within.map(({ partition }) => partition));
      return run<RunningRow & object>(db, runningTasks, [incarnations, partitions, oldestRecords(within)]);
    },
    recover: (request) => recover(db, request),
    async removeFinished({ keepMs, passMs, span, most }) {
      const { to_go_ms: toGoMs, ...counts } = await runForOne<RemovedRow>(db, removeFinished, [
        ...[keepMs, passMs, span, most],
      ]);
      return counts.passed === null ? null : { ...counts, toGoMs };
    },
  };
}

async function finish(
  db: Database,
  outcomes: readonly Outcome[],
  settled: readonly ClaimRecord[],
): Promise<OutcomeResult[]> {
  const incarnations = [...new Set(outcomes.map(({ incarnation }) => incarnation))];
  if (incarnations.length <= 1) return finishOfOne(db, outcomes, settled);
  const results = new Map<Outcome, OutcomeResult>();
  for (const incarnation of incarnations) {
    const some = outcomes.filter((outcome) => outcome.incarnation === incarnation);
    // The records with the last of them, when all of their tasks have ended.
    const records = incarnation === incarnations.at(-1) ? settled : [];
    const ofSome = await finishOfOne(db, some, records);
    some.forEach((outcome, index) => results.set(outcome, ofSome[index] ?? 'refused'));
  }
  return outcomes.map((outcome) => results.get(outcome) ?? 'refused');
}

/** @param outcomes of attempts of one incarnation */
async function finishOfOne(
  db: Database,
  outcomes: readonly Outcome[],
  settled: readonly ClaimRecord[],
): Promise<OutcomeResult[]> {
  // In the order in which a recovery takes them.
  const records = settled.toSorted((a, b) => a.partition - b.partition || a.record - b.record);
  const { counted } = await runForOne<{ counted: number[] | null }>(db, finishTasks, [
    numbers(records.map(({ partition }) => partition)),
    numbers(records.map(({ record }) => record)),
    numbers(outcomes.map(({ id }) => id)),
    numbers(outcomes.map(({ attempt }) => attempt)),
    numbers(outcomes.map(({ epoch }) => epoch)),
    numbers(outcomes.map(({ claimedAtMs }) => claimedAtMs)),
    outcomes[0]?.incarnation ?? '',
    outcomes[0]?.workerId ?? '',
    ...endColumns(outcomes),
    [...new Set(outcomes.filter(({ serial }) => serial).map(({ partition }) => partition))],
  ]);
  if (counted === null) return outcomes.map(() => 'recorded');
  const ordinals = new Set(counted);
  return outcomes.map((_, index) => (ordinals.has(index + 1) ? 'recorded' : 'refused'));
}

/** Kinds, delays, errors and results; nothing where all have completed without one. */
function endColumns(outcomes: readonly Outcome[]): unknown[][] {
  const asUsual = ({ end }: Outcome) => end.kind === 'COMPLETED' && (end.result ?? null) === null;
  if (outcomes.every(asUsual)) return [[], [], [], []];
  return [
    outcomes.map(({ end }) => end.kind),
    outcomes.map(({ end }) => ('delayMs' in end ? end.delayMs : null)),
    outcomes.map(({ end }) => ('error' in end ? toErrorText(end.error) : null)),
    outcomes.map(({ end }) => ('result' in end ? end.result : null)),
  ];
}

/** As JSON that the column takes. */
function toErrorText(error: string | AttemptError): string {
  const { name, message, stack } = typeof error === 'string' ? { name: 'Error', message: error } : error;
  return JSON.stringify({
    name: toStorableText(name, MAX_ERROR_NAME_CHARS),
    message: toStorableText(message, MAX_ERROR_CHARS),
    ...(stack !== undefined && { stack: toStorableText(stack, MAX_ERROR_STACK_CHARS) }),
  });
}

/** Without what Postgres' text does not hold, a NUL and half of a surrogate pair, and not without bounds. */
function toStorableText(text: string, maxChars: number): string {
  return text.slice(0, maxChars).replace(/\p{Surrogate}|\0/gu, '\uFFFD');
}

async function recover(
  db: Database,
  { held, own, jitter }: Parameters<ExecutionStore['recover']>[0],
): Promise<Recovered[]> {
  const incarnations = [...new Set([...own, ...held.map(({ incarnation }) => incarnation)])];
  const recovered: Recovered[] = [];
  for (let round = 1; round <= RECOVER_ROUNDS; round++) {
    try {
      const oldest = oldestRecords(held);
      const values = [...columns(held), RECOVER_RECORDS, jitter, DEFAULT_POLICY, incarnations, oldest];
      const rows = await run<Recovered & object>(db, recoverTasks, values);
      if (rows.length === 0) break;
      recovered.push(...rows);
    } catch (error) {
      // What was recovered before is to be told; the rest is for the next call.
      if (recovered.length === 0) throw error;
      break;
    }
  }
  return recovered;
}

/** How many such tasks a reply holds, by the tasks of one and its text; where some have their payloads nothing has been cut off. */
function fittingReply(tasks: readonly ClaimedTask[], text: string): number {
  if (tasks.length === 0 || tasks.some(({ payload }) => payload !== undefined)) return Infinity;
  return Math.floor((tasks.length * MAX_REPLY_BYTES) / Buffer.byteLength(text));
}

function toClaimedTasks(
  { now_ms: claimedAtMs, record_id: record, tasks }: ClaimRow,
  held: readonly Held[],
): ClaimedTask[] {
  const fences = new Map(held.map((part) => [part.partition, part]));
  return (JSON.parse(tasks) as ClaimedColumns[]).map(
    ([id, name, partition, attempt, failures, dueAtMs, more, payload]) => {
      const fence = fences.get(partition);
      invariant(fence !== undefined && Number.isSafeInteger(id), 'a claim returned what was not asked for');
      const unusual = more === 0 ? null : more;
      // Spreads, for each of so many, would take twice as long.
      return {
        id,
        name,
        partition,
        epoch: fence.epoch,
        incarnation: fence.incarnation,
        record,
        claimedAtMs,
        attempt,
        failures,
        policy: unusual?.policy ?? null,
        priority: unusual?.priority ?? 0,
        serial: unusual?.serial ?? false,
        scheduledAtMs: unusual?.scheduledAtMs ?? dueAtMs,
        dueAtMs,
        payload,
        payloadIsShort: more === 0 || more?.long === false,
      };
    },
  );
}

const columns = (held: readonly Held[]): [NumberArray, NumberArray, string[]] => [
  numbers(held.map(({ partition }) => partition)),
  numbers(held.map(({ epoch }) => epoch)),
  held.map(({ incarnation }) => incarnation),
];

const positions = (beyond: readonly Beyond[]): NumberArray[] => [
  numbers(beyond.map(({ after }) => after?.dueAtMs ?? null)),
  numbers(beyond.map(({ after }) => after?.id ?? null)),
  oldestRecords(beyond),
];

const oldestRecords = (within: readonly Pick<Beyond, 'oldestRecord'>[]): NumberArray =>
  numbers(within.map(({ oldestRecord }) => oldestRecord ?? null));
