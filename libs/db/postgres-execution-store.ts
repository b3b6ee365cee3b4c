import { invariant } from '../core/invariant.ts';
import type { Json } from '../core/task.ts';
import type { Database } from './client.ts';
import { loadStatement, run, runForOne } from './statement.ts';
import { StoreUnavailableError } from './stores.ts';
import type {
  ClaimedTask,
  ExecutionStore,
  Held,
  Outcome,
  OutcomeResult,
  Recovered,
  RunningRow,
} from './stores.ts';

const peekDue = loadStatement('peek-due');
const claimTasks = loadStatement('claim-tasks');
const taskPayloads = loadStatement('task-payloads');
const finishTasks = loadStatement('finish-tasks');
const runningTasks = loadStatement('running-tasks');
const recoverTasks = loadStatement('recover-tasks');

/** Rows someone else was changing while we waited for them are asked for again, at most so often. */
const FINISH_ROUNDS = 5;
const RECOVER_BATCH = 500;
const RECOVER_ROUNDS = 40;
/** Longer texts of errors are cut: the column is for people. */
const MAX_ERROR_CHARS = 2_000;

type ClaimedColumns = [
  id: number,
  name: string,
  partition: number,
  epoch: number,
  incarnation: string,
  attempt: number,
  failures: number,
  scheduledAtMs: number,
];

/** Claims and outcomes. `db` stays the caller's to close. */
export function postgresExecutionStore({ db }: { readonly db: Database }): ExecutionStore {
  return {
    async peek(partitions, horizonMs) {
      const row = await runForOne<{ now_ms: number; due: [number, number][] }>(db, peekDue, [
        partitions,
        horizonMs,
      ]);
      return { dbNowMs: row.now_ms, due: row.due.map(([partition, dueAtMs]) => ({ partition, dueAtMs })) };
    },
    async claim({ claimId, workerId, held, limit }) {
      const row = await runForOne<{ now_ms: number; held: number[]; tasks: ClaimedColumns[] }>(
        db,
        claimTasks,
        [...columns(held), claimId, workerId, limit],
      );
      return { dbNowMs: row.now_ms, held: row.held, tasks: row.tasks.map(toClaimedTask) };
    },
    async payloads(attempts) {
      const rows = await run<{ id: number; payload: Json }>(db, taskPayloads, [
        attempts.map(({ id }) => id),
        attempts.map(({ attempt }) => attempt),
        attempts.map(({ incarnation }) => incarnation),
      ]);
      return new Map(rows.map(({ id, payload }) => [id, payload]));
    },
    finish: (outcomes) => finish(db, outcomes),
    running: (incarnations) => run<RunningRow & object>(db, runningTasks, [incarnations]),
    recover: (request) => recover(db, request),
  };
}

async function finish(db: Database, outcomes: readonly Outcome[]): Promise<OutcomeResult[]> {
  const results = new Array<OutcomeResult | 'changing'>(outcomes.length).fill('changing');
  for (let round = 1; round <= FINISH_ROUNDS; round++) {
    const open = [...results.keys()].filter((index) => results[index] === 'changing');
    if (open.length === 0) break;
    const batch = open.map((index) => outcomes[index]).filter((outcome) => outcome !== undefined);
    const rows = await run<{ result: OutcomeResult | 'changing' }>(db, finishTasks, [
      batch.map(({ id }) => id),
      batch.map(({ attempt }) => attempt),
      batch.map(({ incarnation }) => incarnation),
      batch.map(({ end }) => end.kind),
      batch.map(({ end }) => (end.kind === 'RETRY' ? end.delayMs : null)),
      batch.map(({ end }) => ('error' in end ? toStorableText(end.error) : null)),
    ]);
    for (const [position, { result }] of rows.entries()) results[open[position] ?? -1] = result;
  }
  return results.map((result) => {
    if (result === 'changing') throw new StoreUnavailableError('outcomes kept changing under our feet');
    return result;
  });
}

/** An error's text as the column takes it: no NUL, and not without bounds. */
function toStorableText(error: string): string {
  return error.slice(0, MAX_ERROR_CHARS).replaceAll('\0', '\uFFFD');
}

async function recover(
  db: Database,
  { held, own, delaysMs }: Parameters<ExecutionStore['recover']>[0],
): Promise<Recovered[]> {
  const incarnations = [...new Set([...own, ...held.map(({ incarnation }) => incarnation)])];
  const recovered: Recovered[] = [];
  for (let round = 1; round <= RECOVER_ROUNDS; round++) {
    const rows = await run<Recovered & object>(db, recoverTasks, [
      ...columns(held),
      RECOVER_BATCH,
      delaysMs,
      incarnations,
    ]);
    recovered.push(...rows);
    if (rows.length < RECOVER_BATCH) break;
  }
  return recovered;
}

function toClaimedTask(columns: ClaimedColumns): ClaimedTask {
  const [id, name, partition, epoch, incarnation, attempt, failures, scheduledAtMs] = columns;
  invariant(Number.isSafeInteger(id) && Number.isSafeInteger(epoch), 'an id or epoch is no safe integer');
  return { id, name, partition, epoch, incarnation, attempt, failures, scheduledAtMs };
}

const columns = (held: readonly Held[]): [number[], number[], string[]] => [
  held.map(({ partition }) => partition),
  held.map(({ epoch }) => epoch),
  held.map(({ incarnation }) => incarnation),
];
