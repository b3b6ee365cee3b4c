/** How an attempt ends: the rules, for the worker and for tests of handlers alike. */
import type { Clock } from '../../libs/core/clock.ts';
import type { Random } from '../../libs/core/random.ts';
import { afterFailure } from '../../libs/core/task.ts';
import type { Json } from '../../libs/core/task.ts';
import type { AttemptEnd, AttemptError, ClaimedTask } from '../../libs/db/stores.ts';
import { AttemptAbortedError, isPermanentFailure, isRetryLater } from '../../libs/handlers/index.ts';
import type { AttemptContext } from './attempt-context.ts';
import type { Handler } from './handlers/handler.ts';

/** A handler that does not end when told that its time is up, or that it is cancelled, is no longer waited for after so long. */
export const GIVE_UP_MS = 1_000;

const MAX_ERROR_CHARS = 2_000;

/** What decides about a task whose attempt has failed. */
export type Chances = Pick<ClaimedTask, 'failures' | 'policy'>;

/** An attempt whose handler is called. */
export interface HandlerRun {
  readonly payload: Json | undefined;
  /** The context's. */
  readonly abort: Pick<AbortController, 'abort' | 'signal'>;
  readonly task: Chances;
}

/** What all runs have in common. Each callback is given the run it is about, so that no run needs functions of its own. */
export interface RunHost<Run extends HandlerRun> {
  readonly clock: Clock;
  readonly random: Pick<Random, 'next'>;
  /** Its time is up: it has just been told. */
  readonly onTimeout?: (run: Run, timeoutMs: number) => void;
  /** It has not heeded that: the attempt has ended, though its handler has not. */
  readonly onGivenUp: (run: Run, end: AttemptEnd) => void;
  /** Its handler has ended. @param thrown what it threw, if it did */
  readonly onEnd: (run: Run, end: AttemptEnd, context: AttemptContext, thrown: unknown) => void;
}

/**
 * Calls a handler, and holds it to its task's time, or its own where the task does not say: it is told when that is up, and
 * a little later given up on. Resolves when it has ended; never rejects.
 */
export async function runHandler<Run extends HandlerRun>(
  run: Run,
  handler: Handler,
  context: AttemptContext,
  host: RunHost<Run>,
): Promise<void> {
  const { payload = null, task } = run;
  let limit: TimeLimit | undefined;
  let end: AttemptEnd;
  let thrown: unknown;
  try {
    const ready = handler.prepare === undefined ? handler : await handler.prepare(payload, context);
    const timeoutMs = task.policy?.timeoutMs ?? handler.timeoutMs;
    if (timeoutMs !== undefined) limit = limitTime(run, timeoutMs, host);
    const result = await ready.run(payload, context);
    limit?.check();
    end = { kind: 'COMPLETED', result: typeof result === 'string' ? result : null };
  } catch (error) {
    thrown = error;
    end = endOfThrown(error, task, host.random);
  } finally {
    limit?.cancel();
  }
  host.onEnd(run, end, context, thrown);
}

/** What an attempt whose handler threw has come to. */
export function endOfThrown(thrown: unknown, task: Chances, random: Pick<Random, 'next'>): AttemptEnd {
  if (isRetryLater(thrown)) return { kind: 'HANDED_BACK', delayMs: thrown.afterMs };
  const error = toAttemptError(thrown);
  if (isPermanentFailure(thrown)) return { kind: 'FAILED', error };
  const next = afterFailure(task.failures, task.policy, random);
  return next.status === 'FAILED'
    ? { kind: 'FAILED', error }
    : { kind: 'RETRY', delayMs: next.delayMs, error };
}

/** What a handler threw, as it is kept. */
export function toAttemptError(thrown: unknown): AttemptError {
  const message = errorText(thrown);
  if (!(thrown instanceof Error)) return { name: typeof thrown, message };
  const { name, stack } = thrown;
  // What an error has of these is anybody's guess: some set them.
  return {
    name: typeof name === 'string' ? name : 'Error',
    message,
    ...(typeof stack === 'string' && { stack }),
  };
}

/** What a handler threw, as a text that Postgres takes. It may have thrown anything. */
export function errorText(thrown: unknown): string {
  let text: unknown;
  try {
    text = thrown instanceof Error ? thrown.message : String(thrown);
  } catch {
    text = undefined;
  }
  // Postgres text holds neither NUL nor an unbounded story.
  return typeof text === 'string'
    ? text.replaceAll('\0', '\uFFFD').slice(0, MAX_ERROR_CHARS)
    : 'threw no error';
}

interface TimeLimit {
  cancel(): void;
  /** @throws where the handler has returned all the same, and too late */
  check(): void;
}

function limitTime<Run extends HandlerRun>(run: Run, timeoutMs: number, host: RunHost<Run>): TimeLimit {
  const { abort, task } = run;
  const { clock, random } = host;
  const over = new AttemptAbortedError('timeout');
  const beganAtMs = clock.monotonicMs();
  let timer = clock.schedule(timeoutMs, () => {
    host.onTimeout?.(run, timeoutMs);
    abort.abort(over);
    timer = clock.schedule(GIVE_UP_MS, () => host.onGivenUp(run, endOfThrown(over, task, random)));
  });
  return {
    cancel: () => timer.cancel(),
    check: () => {
      // One that has computed all the time has kept the timer from running.
      if (abort.signal.reason === over || clock.monotonicMs() - beganAtMs > timeoutMs) throw over;
    },
  };
}
