/** A command of fast-check's model runner: something is done to the stores and to the model, and both are compared. */
import { isDeepStrictEqual } from 'node:util';
import type fc from 'fast-check';
import type { TaskId } from '../../core/task.ts';
import type { TaskRecord } from '../../db/stores.ts';
import { isRunning } from './life.ts';
import type { Life, Next } from './life.ts';
import type { DatabaseOfTasks, Model } from './model.ts';
import { changeOf, illegal } from './transitions.ts';
import type { Event } from './transitions.ts';

export interface Act {
  /** As it stands in a counterexample. */
  readonly text: string;
  readonly event: Event;
  /** Whether there is anything to do it to; by default there is. */
  possible?(model: Readonly<Model>): boolean;
  /** Does it to both, and compares the answers by {@link agree}. */
  perform(model: Model, database: DatabaseOfTasks): Promise<void>;
}

export class Command implements fc.AsyncCommand<Model, DatabaseOfTasks> {
  readonly #act: Act;

  constructor(act: Act) {
    this.#act = act;
  }

  check(model: Readonly<Model>): boolean {
    return this.#act.possible?.(model) ?? true;
  }

  async run(model: Model, database: DatabaseOfTasks): Promise<void> {
    await this.#act.perform(model, database);
    // What touches no task is seen not to have with the next that does.
    if (this.#act.event !== 'other') await compare(model, database, this.#act.event);
    model.putInOrder(database.nowMs());
  }

  toString(): string {
    return this.#act.text;
  }
}

/** @throws where the stores answer otherwise than the model */
export function agree(what: string, actual: unknown, expected: unknown): void {
  if (isDeepStrictEqual(actual, expected)) return;
  throw new Error(`${what} is ${JSON.stringify(actual)}, and by the model ${JSON.stringify(expected)}`);
}

/** Every task that was ever submitted: as the model has it, and come to it by a legal way. */
async function compare(model: Model, database: DatabaseOfTasks, event: Event): Promise<void> {
  const records = await Promise.all(model.ids.map((id) => database.tasks.get(id)));
  for (const [nth, record] of records.entries()) {
    const [id, life] = [model.ids[nth] ?? 0, model.life(nth)];
    // Leases are renewed and end by themselves.
    const seen = record && { ...record, leaseExpiresAtMs: null };
    const before = model.seen.get(id);
    const wrong = before === undefined ? undefined : illegal(before, seen, event);
    if (wrong !== undefined) throw new Error(`task ${nth} ${wrong}`);
    model.seen.set(id, seen);
    const view = record === null ? null : viewOf(record, life, model, database.toleranceMs);
    agree(`task ${nth}`, view, life === 'GONE' ? null : toView(life, model));
    // Lines go by it, to the millisecond.
    if (life !== 'GONE' && record !== null)
      model.lives[nth] = { ...life, scheduledAtMs: record.scheduledAtMs };
    if (before === undefined || isDeepStrictEqual(before, seen)) continue;
    const change = changeOf(before?.status ?? 'GONE', seen?.status ?? 'GONE');
    model.count(change);
    if (database.keepsAttempts)
      agree(`what is told of the attempts of task ${nth}`, await attempts(database, id), history(life));
  }
}

type View = ReturnType<typeof toView>;

function toView(life: Life, { leases }: Model) {
  const { status, attempt, failures, revision, priority, payload, serial, scheduledAtMs, policy, run } = life;
  return {
    ...{ status, attempt, failures, revision, priority, payload, serial, scheduledAtMs, policy },
    workerId: run?.workerId ?? life.ranBy,
    leaseExpiresAtMs: (run && leases.get(run.incarnation)?.expiresAtMs) ?? null,
    ...{ lastError: life.lastError, result: life.result },
    hasEnded: status !== 'PENDING' && status !== 'RUNNING',
  };
}

/** A record in the same terms; a time as near to the model's as it may be is the model's. */
function viewOf(record: TaskRecord, life: Next, model: Model, toleranceMs: number): View {
  const { status, attempt, failures, revision, priority, payload, serial } = record;
  const { policy, workerId, lastError, result } = record;
  const meant = life === 'GONE' ? undefined : toView(life, model);
  const snapped = <T extends number | null>(time: T, meantMs: number | null | undefined): T =>
    time !== null && meantMs != null && Math.abs(time - meantMs) <= toleranceMs ? (meantMs as T) : time;
  return {
    ...{ status, attempt, failures, revision, priority, payload, serial },
    scheduledAtMs: snapped(record.scheduledAtMs, meant?.scheduledAtMs),
    leaseExpiresAtMs: snapped(record.leaseExpiresAtMs, meant?.leaseExpiresAtMs),
    ...{ policy, workerId, lastError, result, hasEnded: record.completedAtMs !== null },
  };
}

type Told = { attempt: number; outcome: string | null; by?: string }[] | null;

async function attempts({ tasks }: DatabaseOfTasks, id: TaskId): Promise<Told> {
  const records = await tasks.attempts(id);
  return records?.map(({ attempt, outcome }) => ({ attempt, outcome })) ?? null;
}

function history(life: Next): Told {
  if (life === 'GONE') return null;
  const { status, attempt, unsuccessful } = life;
  if (status !== 'COMPLETED' && !isRunning(life)) return [...unsuccessful];
  return [{ attempt, outcome: status === 'COMPLETED' ? status : null }, ...unsuccessful];
}
