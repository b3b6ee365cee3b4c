import { etagOf, versionsOf } from '../../apps/scheduler-api/etag.ts';
import type { TaskId } from '../../libs/core/task.ts';
import type { NewTask, TaskRecord } from '../../libs/db/stores.ts';
import type { Action, Change, Unusual } from '../actions.ts';
import { USERS } from '../actions.ts';
import type { Behaviour } from './handler.ts';
import type { Safety } from '../safety.ts';
import { Thread } from '../thread.ts';
import { Wire } from '../wire.ts';
import type { World } from '../world.ts';
import { Pool } from './postgres.ts';
import type { Postgres } from './postgres.ts';

type Submission = Extract<Action, { kind: 'submit' }>;

/** How often one asks who gets no answer, and how long keys are remembered: for longer than a run. */
const MOST_TRIES = 5;
const KEY_MS = 3_600_000;
/** How long one waits who is told that his request is in flight. */
const IN_FLIGHT_MS = 1_000;
/** How a backoff grows, and its longest, in ms: short, as runs are. */
const BACKOFF = { factor: 2, maxMs: 4_000 };

/** People and programs that submit tasks and steer them, and remember what they were told. */
export class Users {
  readonly #thread: Thread;
  readonly wire: Wire;
  readonly #pool: Pool;
  readonly #safety: Safety;
  /** Submissions acknowledged, in order. */
  readonly #acknowledged: number[] = [];
  /** The versions that were read of a task, to be asked for again. */
  readonly #read = new Map<TaskId, string[]>();
  readonly #removing = new Set<number>();
  #requests = 0;

  constructor(world: World, postgres: Postgres, safety: Safety) {
    this.#thread = new Thread(world, 0);
    this.#safety = safety;
    this.wire = new Wire(world, 'users postgres');
    this.#pool = new Pool({
      postgres,
      wire: this.wire,
      thread: this.#thread,
      process: USERS,
      applicationName: 'scheduler-api',
      timeoutMs: 5_000,
    });
    postgres.onRestart(() => this.cutDatabase());
  }

  /** The connections of the API to Postgres are reset. */
  cutDatabase(): void {
    this.#pool.cut();
  }

  /** Acknowledged and not asked to be removed: each must reach an end. */
  get expected(): number[] {
    return this.#acknowledged.filter((id) => !this.#removing.has(id));
  }

  /** @param databaseNowMs what `delayMs` counts from */
  submit(
    { count, delayMs, sleepMs, fail, stuckMs, line, unusual = {} }: Submission,
    databaseNowMs: number,
  ): void {
    const { relative = false, later = 0, permanent = false, heedless = false } = unusual;
    const payload: Behaviour = { sleepMs, fail, stuckMs, later, permanent, heedless };
    const time = relative
      ? { scheduledAtMs: null, delayMs }
      : { scheduledAtMs: delayMs === 0 ? null : Math.floor(databaseNowMs + delayMs) };
    const task: NewTask = {
      ...{ name: 'sim', payload: { ...payload }, ...time },
      ...(line === undefined ? { key: null } : { key: `line ${line}`, serial: true }),
      ...{ policy: policyOf(unusual), priority: unusual.priority ?? 0 },
    };
    if (unusual.again !== undefined) return this.#submitOnce(task, count, unusual.again);
    this.#pool.tasks.insert(Array.from({ length: count }, () => task)).then(
      (records) => this.#acknowledged.push(...records.map(({ id }) => id)),
      // 503: the user has been promised nothing.
      () => undefined,
    );
  }

  /** With an Idempotency-Key, by so many programs more at the same time, each of which asks again where it got no answer. */
  #submitOnce(task: NewTask, count: number, again: number): void {
    const once = { key: `request ${++this.#requests}`, fingerprint: '' };
    const asked = Array.from({ length: count }, () => ({ task: { ...task, tags: [once.key] }, once }));
    const known = new Set<number>();
    this.#safety.onceAsked(once.key, count);
    const ask = async (): Promise<void> => {
      for (let tries = 0; tries < MOST_TRIES; tries++) {
        const records = await this.#pool.tasks.insertOnce(asked, KEY_MS).catch(() => undefined);
        if (records === undefined) continue;
        if (records.includes('in flight')) {
          await new Promise<void>((resolve) => this.#thread.clock.schedule(IN_FLIGHT_MS, resolve));
          continue;
        }
        const ids = records.map((record) => (typeof record === 'string' ? -1 : record.id));
        this.#safety.onceAcknowledged(once.key, ids);
        for (const id of ids) if (!known.has(id)) this.#acknowledged.push(id);
        for (const id of ids) known.add(id);
        return;
      }
    };
    for (let program = 0; program <= again; program++) void ask();
  }

  /** Asks for the removal of one of the latest submissions. */
  remove(nth: number): void {
    this.#steer(nth, async (id) => {
      this.#removing.add(id);
      this.#safety.endAsked(id);
      const result = await this.#pool.tasks.remove(id);
      if (result === 'removed') this.#safety.removalAcknowledged(id);
      if (result === 'cancelling') this.#safety.cancellationAcknowledged(id);
    });
  }

  /** As {@link remove}: has it end as CANCELLED. */
  cancel(nth: number): void {
    this.#steer(nth, (id) => {
      this.#safety.endAsked(id);
      return this.#pool.tasks.cancel(id);
    });
  }

  retry(nth: number): void {
    this.#steer(nth, (id) => this.#pool.tasks.retry(id));
  }

  run(nth: number): void {
    this.#steer(nth, (id) => this.#pool.tasks.run(id));
  }

  /** @param asRead only if nobody changes it after it was read */
  patch(nth: number, { sleepMs, ...change }: Change, asRead: boolean): void {
    this.#steer(nth, async (id) => {
      const read = asRead || sleepMs !== undefined ? await this.#pool.tasks.get(id) : null;
      const payload = read !== null && sleepMs !== undefined && { ...(read.payload as object), sleepMs };
      const versions = asRead ? this.#versionsOf(id, read) : undefined;
      const result = await this.#pool.tasks.patch(id, { ...change, ...(payload && { payload }) }, versions);
      if (result === 'patched' && versions !== undefined) this.#safety.patchAcknowledged(id, versions.join());
    });
  }

  /** What was read just now, and every other time what was read the time before. */
  #versionsOf(id: TaskId, read: TaskRecord | null): string[] | undefined {
    const before = this.#read.get(id);
    if (before !== undefined) {
      this.#read.delete(id);
      return before;
    }
    const versions = read === null ? undefined : versionsOf(etagOf(read));
    if (versions !== undefined) this.#read.set(id, versions);
    return versions;
  }

  #steer(nth: number, ask: (id: TaskId) => Promise<unknown>): void {
    const id = this.#acknowledged.at(-1 - nth);
    // 503: it may or may not have been done.
    if (id !== undefined) ask(id).catch(() => undefined);
  }
}

function policyOf({ maxAttempts, backoffMs, timeoutMs }: Unusual): NewTask['policy'] {
  if (maxAttempts === undefined && backoffMs === undefined && timeoutMs === undefined) return null;
  return {
    ...(maxAttempts !== undefined && { maxAttempts }),
    ...(backoffMs !== undefined && { backoff: { ...BACKOFF, baseMs: backoffMs } }),
    ...(timeoutMs !== undefined && { timeoutMs }),
  };
}
