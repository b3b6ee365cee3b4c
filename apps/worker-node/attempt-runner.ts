import type { Clock, Timer } from '../../libs/core/clock.ts';
import type { Random } from '../../libs/core/random.ts';
import type { Json } from '../../libs/core/task.ts';
import type { AttemptEnd, ClaimedTask } from '../../libs/db/stores.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import type { AttemptAbort } from './attempt-abort.ts';
import { AttemptContext } from './attempt-context.ts';
import type { ContextHost } from './attempt-context.ts';
import { GIVE_UP_MS, errorText, runHandler } from './attempt-end.ts';
import type { RunHost } from './attempt-end.ts';
import type { Handler } from './handlers/handler.ts';

/** One that this worker has in hand. */
export interface Attempt {
  readonly task: ClaimedTask;
  readonly abort: AttemptAbort;
  /** When it was taken in hand, by the monotonic clock. */
  readonly sinceMs: number;
  /** Undefined: it has not been read yet. */
  payload: Json | undefined;
  /** Its handler has been called, and has neither ended nor been given up on. */
  running: boolean;
  /** It has, or shall never be called; the outcome is on its way to the database. */
  ended: boolean;
  /** The outcome has been sent to be recorded. */
  recording: boolean;
  /** When its handler, having been told to end, is given up on. */
  giveUp?: Timer;
}

export interface AttemptRunnerOptions {
  readonly handlerFor: (name: string) => Handler;
  readonly workerId: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly progressed: ContextHost['progressed'];
  /** The attempt has ended: its handler has, or was given up on. Only the first counts. */
  readonly onEnd: (task: ClaimedTask, end: AttemptEnd) => void;
  /** Its handler takes no place any more: it has ended, or was given up on and nobody can end it. Only the first counts. */
  readonly onLeave: (task: ClaimedTask) => void;
}

/**
 * Calls the handlers of attempts:
 * ```
 * running ──returns or throws──────────────────────────────────▶ ended, and left
 *    └──told to end, and has not a grace period later──▶ ended ──▶ left: at once, or in a thread when that is no more
 * ```
 */
export class AttemptRunner {
  readonly #options: AttemptRunnerOptions;
  readonly #contextHost: ContextHost;
  readonly #runHost: RunHost<Attempt>;
  /** For the one line a task: it holds no secrets, and to look for them takes its time. */
  readonly #log: Logger;

  constructor(options: AttemptRunnerOptions) {
    this.#options = options;
    const { logger, clock, random, progressed, workerId: worker } = options;
    this.#contextHost = { logger, clock, progressed };
    this.#runHost = {
      ...{ clock, random },
      onTimeout: ({ task: { id: taskId, attempt } }, timeoutMs) =>
        logger.info({ taskId, attempt, timeoutMs }, 'Event takes too long: aborting it'),
      onGivenUp: (attempt, end) => this.#giveUp(attempt, end),
      onEnd: (attempt, end, context, thrown) => this.#ended(attempt, end, context, thrown),
    };
    this.#log = logger.child({ worker }, { redact: [] });
  }

  /** Says that these start, and starts them: the lines are written before a handler can block or end this process. */
  start(attempts: readonly Attempt[]): void {
    for (const { task } of attempts) {
      const { id: taskId, name: taskName, partition, attempt } = task;
      this.#log.info({ taskId, taskName, partition, attempt }, 'Handling event');
    }
    this.#log.flush();
    for (const attempt of attempts) this.#run(attempt);
  }

  /** Gives up on one that has been told to end, if it has not by then. */
  giveUpLater(attempt: Attempt): void {
    const giveUp = () => this.#giveUp(attempt, { kind: 'HANDED_BACK' });
    attempt.giveUp = this.#options.clock.schedule(GIVE_UP_MS, giveUp);
  }

  /** Whatever the handler does is the attempt's outcome. */
  #run(attempt: Attempt): void {
    attempt.running = true;
    const { task, abort } = attempt;
    const context = new AttemptContext(task, abort, this.#contextHost);
    void runHandler(attempt, this.#options.handlerFor(task.name), context, this.#runHost);
  }

  #ended(attempt: Attempt, end: AttemptEnd, context: AttemptContext, thrown: unknown): void {
    const { task } = attempt;
    attempt.running = false;
    attempt.giveUp?.cancel();
    if (end.kind !== 'COMPLETED') this.#sayThrown(context, end, thrown);
    this.#options.onEnd(task, end);
    this.#options.onLeave(task);
  }

  /** It goes on though it was told to end: it is no longer waited for. */
  #giveUp(attempt: Attempt, end: AttemptEnd): void {
    if (!attempt.running) return;
    attempt.running = false;
    const { task } = attempt;
    const { handlerFor, logger, onEnd, onLeave } = this.#options;
    onEnd(task, end);
    // Its thread is ended, and takes its place until it has.
    if (handlerFor(task.name).prepare !== undefined) return;
    logger.warn(
      { taskId: task.id, taskName: task.name, attempt: task.attempt },
      'Event does not heed its signal: given up, and its handler may still be running',
    );
    onLeave(task);
  }

  #sayThrown({ log, signal }: AttemptContext, { kind }: AttemptEnd, thrown: unknown): void {
    if (signal.aborted) log.info({ reason: errorText(thrown) }, 'Event aborted');
    else log.warn({ reason: errorText(thrown), then: kind }, 'Event failed');
    log.debug({ err: thrown }, 'what the handler threw');
  }
}
