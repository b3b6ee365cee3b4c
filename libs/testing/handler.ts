/**
 * A handler run in a test's own process, on virtual time and without servers: what it is given, the checks of its payload and
 * its result, its time limit and what becomes of its task are those of a worker.
 *
 * ```
 * const run = testHandler(handler, { payload: { to: 'a@b.c' } });
 * await run.advance(5_000); // what the handler sleeps by `context.sleep`, and its time limit
 * expect(run.outcome).toEqual({ status: 'COMPLETED', result: { sent: true } });
 * ```
 * A handler with `isolation: 'thread'` runs in the test's thread, too: one that computes without end never ends here.
 */
import type { Static, TSchema } from 'typebox';
import { AttemptContext } from '../../apps/worker-node/attempt-context.ts';
import { GIVE_UP_MS, runHandler } from '../../apps/worker-node/attempt-end.ts';
import { runnable } from '../../apps/worker-node/handlers/registry.ts';
import type { Json, TaskPolicy } from '../core/task.ts';
import type { AttemptEnd, AttemptError, TaskProgress } from '../db/stores.ts';
import { AttemptAbortedError } from '../handlers/index.ts';
import type { AnyHandler, HandlerDefinition } from '../handlers/index.ts';
import { keptLog } from './kept-log.ts';
import type { LoggedLine } from './kept-log.ts';
import { ManualClock } from './manual-clock.ts';

export type { LoggedLine } from './kept-log.ts';

/** The task whose attempt is tested. */
export interface TestedTask<Payload> {
  /** Null where not given. */
  readonly payload?: Payload;
  readonly id?: number;
  /** Of the handler where not given. */
  readonly name?: string;
  /** 1 where not given. */
  readonly attempt?: number;
  /** How many attempts have failed before; all, where not given. */
  readonly failures?: number;
  /** What its submitter has said of its attempts. */
  readonly policy?: TaskPolicy;
  readonly scheduledTime?: Date;
}

/** What would become of the task. */
export type TestOutcome =
  | { readonly status: 'COMPLETED'; readonly result: Json }
  /** To be tried again, after a time that is drawn from this range. Without an error, no failure is charged for it. */
  | {
      readonly status: 'PENDING';
      readonly retryInMs: { readonly least: number; readonly most: number };
      readonly error: AttemptError | null;
    }
  | { readonly status: 'FAILED'; readonly error: AttemptError }
  | { readonly status: 'CANCELLED'; readonly error: AttemptError | null };

/** Starts an attempt at once. */
export function testHandler<Schema extends TSchema>(
  handler: HandlerDefinition<Schema>,
  task: TestedTask<Static<Schema>> = {},
): HandlerTest {
  return new HandlerTest(handler, task);
}

/**
 * One attempt.
 * ```
 * running ──returns, throws, or does not heed its signal──▶ ended: `outcome` is there
 * ```
 */
export class HandlerTest {
  /** Resolves when the attempt has ended: for a handler that waits for what is not virtual, such as a response. */
  readonly ended: Promise<TestOutcome>;
  readonly #clock = new ManualClock();
  readonly #log = keptLog();
  readonly #abort = new AbortController();
  readonly #task: { readonly failures: number; readonly policy: TaskPolicy | null };
  #settle: (outcome: TestOutcome) => void = () => undefined;
  #outcome: TestOutcome | undefined;
  #progress: TaskProgress | null = null;
  #cancelled = false;

  constructor(handler: AnyHandler, given: TestedTask<unknown>) {
    const { id = 1, name = handler.name, attempt = 1, failures = attempt - 1, policy = null } = given;
    const { scheduledTime = new Date(this.#clock.wallMs()), payload = null } = given;
    this.#task = { failures, policy };
    this.ended = new Promise((resolve) => {
      this.#settle = resolve;
    });
    const context = new AttemptContext(
      { id, name, attempt, partition: 0, epoch: 1, record: attempt, scheduledAtMs: scheduledTime.getTime() },
      this.#abort,
      {
        ...{ logger: this.#log.logger, clock: this.#clock },
        progressed: (_, progress) => {
          if (this.#outcome === undefined) this.#progress = progress;
        },
      },
    );
    // As it is read from the database.
    const read = JSON.parse(JSON.stringify(payload)) as Json;
    const end = (_: unknown, how: AttemptEnd) => this.#end(how);
    void runHandler({ payload: read, abort: this.#abort, task: this.#task }, runnable(handler), context, {
      ...{ clock: this.#clock, random: LONGEST, onGivenUp: end, onEnd: end },
    });
  }

  /** What would become of the task; undefined while the attempt runs. */
  get outcome(): TestOutcome | undefined {
    return this.#outcome;
  }

  /** What the handler has returned; undefined while it runs, and where it has failed. */
  get result(): Json | undefined {
    return this.#outcome?.status === 'COMPLETED' ? this.#outcome.result : undefined;
  }

  /** How far it has said it has got. */
  get progress(): TaskProgress | null {
    return this.#progress;
  }

  /** What it has logged. */
  get logs(): readonly LoggedLine[] {
    return this.#log.lines;
  }

  /** Its signal, as the handler sees it. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Lets `ms` pass, waking the handler where that is due, and lets it do what it can do at once. */
  advance(ms: number): Promise<void> {
    return this.#clock.advance(ms);
  }

  /** A user cancels the task: the handler is told, and given up on where it has not ended a second later. */
  cancel(): void {
    if (this.#cancelled || this.#outcome !== undefined) return;
    this.#cancelled = true;
    this.#abort.abort(new AttemptAbortedError('cancelled'));
    this.#clock.schedule(GIVE_UP_MS, () => this.#end({ kind: 'HANDED_BACK' }));
  }

  #end(end: AttemptEnd): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = this.#outcomeOf(end);
    this.#settle(this.#outcome);
  }

  /** As finish_tasks.sql has it. */
  #outcomeOf(end: AttemptEnd): TestOutcome {
    if (end.kind === 'COMPLETED')
      return { status: 'COMPLETED', result: JSON.parse(end.result ?? 'null') as Json };
    const error = 'error' in end ? toError(end.error) : null;
    if (this.#cancelled) return { status: 'CANCELLED', error };
    switch (end.kind) {
      case 'FAILED':
        return { status: 'FAILED', error: toError(end.error) };
      case 'RETRY':
        return { status: 'PENDING', retryInMs: { least: 0, most: end.delayMs }, error };
      case 'HANDED_BACK': {
        const { delayMs = 0 } = end;
        return { status: 'PENDING', retryInMs: { least: delayMs, most: delayMs }, error };
      }
    }
  }
}

/** Draws the upper bound of a delay; the lower is 0, by full jitter. */
const LONGEST = { next: () => 1 };

const toError = (error: string | AttemptError): AttemptError =>
  typeof error === 'string' ? { name: 'Error', message: error } : error;
