import type { Json, TaskId } from '../../libs/core/task.ts';
import type { Clock, Timer } from '../../libs/core/clock.ts';
import type { Random } from '../../libs/core/random.ts';
import type {
  AttemptEnd,
  ClaimedTask,
  ExecutionStore,
  NameFilter,
  Outcome,
  OutcomeResult,
  TaskProgress,
} from '../../libs/db/stores.ts';
import { AttemptAbortedError } from '../../libs/handlers/index.ts';
import type { AbortReason } from '../../libs/handlers/index.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import type { Availability } from './availability.ts';
import { AttemptContext } from './attempt-context.ts';
import type { AttemptTask, ContextHost } from './attempt-context.ts';
import { GIVE_UP_MS, endOfThrown, errorText, runHandler } from './attempt-end.ts';
import type { Handler } from './handlers/handler.ts';
import { NameLimits } from './name-limits.ts';
import { OutcomeWriter } from './outcome-writer.ts';
import { ProgressWriter } from './progress-writer.ts';

/** Payloads that are read apart are up to 256 KB each: this many at a time keeps a reply under 8 MB. */
const PAYLOADS_PER_READ = 32;

interface Attempt {
  readonly task: ClaimedTask;
  readonly abort: AbortController;
  /** Its handler has ended (or been given up on); the outcome is on its way to the database. */
  ended: boolean;
  /** When its handler, having been told to end, is given up on. */
  giveUp?: Timer;
}

export interface ExecutorOptions {
  readonly store: ExecutionStore;
  readonly availability: Availability;
  readonly handlerFor: (name: string) => Handler;
  /** Tasks of other names are left where they are; undefined: there is a handler for all. */
  readonly handledNames: readonly string[] | undefined;
  readonly workerId: string;
  /** Attempts in flight at most, from claim to recorded outcome. */
  readonly capacity: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Called whenever an attempt has left, and so a place is free. */
  readonly onFree: () => void;
  /** Called when more of a name may be claimed again, see {@link Executor.claimable}. */
  readonly onNameFree: () => void;
  /** Called when a serial task's attempt there has ended: it may be another's turn. */
  readonly onTurnOver: (partition: number) => void;
}

/**
 * The attempts of this worker, each
 * ```
 * claimed → (others of its name ended →) (long payload read →) handler running → ended → outcome recorded
 * ```
 * and in flight from the first to the last; counted against the capacity but for those that wait for others of their name.
 */
export class Executor {
  readonly #options: ExecutorOptions;
  readonly #attempts = new Map<TaskId, Attempt>();
  readonly #outcomes: OutcomeWriter;
  readonly #progress: ProgressWriter;
  readonly #names: NameLimits<ClaimedTask>;
  readonly #contextHost: ContextHost;
  readonly #stop = new AbortController();
  /** For the one line a task: it holds no secrets, and to look for them takes its time. */
  readonly #log: Logger;

  constructor(options: ExecutorOptions) {
    this.#options = options;
    this.#log = options.logger.child({}, { redact: [] });
    this.#names = new NameLimits((name) => options.handlerFor(name).concurrency);
    const { store, availability, clock, logger } = options;
    this.#progress = new ProgressWriter({ store, availability, clock, logger });
    this.#contextHost = {
      ...{ logger, clock },
      progressed: (attempt, progress) => this.#progressed(attempt, progress),
    };
    this.#outcomes = new OutcomeWriter({
      store: options.store,
      availability: options.availability,
      onSettled: (outcome, result) => this.#settled(outcome, result),
    });
  }

  /** How many more attempts fit. */
  get free(): number {
    return Math.max(0, this.#options.capacity - (this.#attempts.size - this.#names.waiting));
  }

  /** What may be claimed: nothing of which some wait here already, nor what nobody here handles. */
  get claimable(): NameFilter {
    const { busy } = this.#names;
    const { handledNames } = this.#options;
    if (handledNames === undefined) return { names: busy, listed: false };
    return { names: handledNames.filter((name) => !busy.includes(name)), listed: true };
  }

  get inFlight(): number {
    return this.#attempts.size;
  }

  /** Attempts whose handler has not ended yet. */
  running(): ClaimedTask[] {
    return [...this.#attempts.values()].filter(({ ended }) => !ended).map(({ task }) => task);
  }

  has(id: TaskId, attempt: number): boolean {
    return this.#attempts.get(id)?.task.attempt === attempt;
  }

  /** Takes claimed tasks in flight at once and runs them, those that came without their payloads as these arrive. */
  accept(tasks: readonly ClaimedTask[]): void {
    for (const task of tasks) {
      // A lower attempt of the same task can still be here: it was taken from us, and has come back.
      const lower = this.#attempts.get(task.id);
      lower?.abort.abort(new AttemptAbortedError('lost'));
      if (lower?.ended === false) {
        this.#outcomes.dismiss(lower.task);
        this.#progress.forget(lower.task);
        this.#names.giveUp(lower.task);
      }
      this.#outcomes.expect(task);
      this.#attempts.set(task.id, { task, abort: new AbortController(), ended: false });
    }
    if (this.#stop.signal.aborted) {
      // A claim whose reply came too late: as if it had not been made.
      for (const task of tasks) this.#end(task, { kind: 'HANDED_BACK' });
      return;
    }
    this.#begin(tasks.filter((task) => this.#names.enter(task)));
  }

  /** Runs these, which have a place among those of their names. */
  #begin(tasks: readonly ClaimedTask[]): void {
    this.#runAll(tasks.filter(({ payload }) => payload !== undefined));
    const toBeRead = tasks.filter(({ payload }) => payload === undefined);
    for (let i = 0; i < toBeRead.length; i += PAYLOADS_PER_READ) {
      const slice = toBeRead.slice(i, i + PAYLOADS_PER_READ);
      this.#start(slice).catch((error: unknown) => {
        this.#options.logger.error({ err: error }, 'could not read payloads');
        for (const task of slice) {
          this.#end(task, endOfThrown(error, task, this.#options.random));
          this.#leave(task);
        }
      });
    }
  }

  /** Tells a running handler that its outcome no longer counts, or will be discarded. */
  abort(id: TaskId, attempt: number, reason: AbortReason): void {
    const found = this.#attempts.get(id);
    if (found?.task.attempt !== attempt || found.ended || found.abort.signal.aborted) return;
    this.#options.logger.info({ taskId: id, attempt, reason }, 'Aborting event');
    found.abort.abort(new AttemptAbortedError(reason));
    if (this.#names.giveUp(found.task)) {
      // No handler is there to be told.
      if (reason === 'lost') this.#dismiss(found.task);
      else this.#end(found.task, { kind: 'HANDED_BACK' });
    } else if (reason === 'cancelled') {
      const giveUp = () => this.#end(found.task, { kind: 'HANDED_BACK' });
      found.giveUp = this.#options.clock.schedule(GIVE_UP_MS, giveUp);
    }
  }

  /** Hands back what waits for others of its name: it will not be started here any more. */
  handBackWaiting(): void {
    for (const task of this.running()) if (this.#names.giveUp(task)) this.#end(task, { kind: 'HANDED_BACK' });
  }

  /** Hands back every attempt that still runs, telling its handler. To be called when the grace is over. */
  handBackRunning(): void {
    this.#stop.abort();
    this.handBackWaiting();
    for (const task of this.running()) {
      this.abort(task.id, task.attempt, 'stopping');
      this.#end(task, { kind: 'HANDED_BACK' });
    }
  }

  /** Resolves when every outcome queued so far has been recorded or refused; with false where it was given up. */
  flushed(): Promise<boolean> {
    return this.#outcomes.flushed();
  }

  giveUp(): void {
    this.#stop.abort();
    this.#outcomes.giveUp();
  }

  async #start(tasks: readonly ClaimedTask[]): Promise<void> {
    const { store, availability } = this.#options;
    const payloads = await availability.untilAvailable(
      'payloads',
      () => store.payloads(tasks),
      this.#stop.signal,
    );
    if (payloads === undefined) return;
    // Overtaken before it had begun.
    for (const task of tasks) {
      if (payloads.has(task.id)) continue;
      this.#dismiss(task);
      this.#leave(task);
    }
    this.#runAll(
      tasks.filter(({ id }) => payloads.has(id)),
      payloads,
    );
  }

  /** Says that these start, and starts them: the lines are written before a handler can block or end this process. */
  #runAll(tasks: readonly ClaimedTask[], payloads?: ReadonlyMap<TaskId, Json>): void {
    const starting = tasks.filter((task) => {
      const attempt = this.#attempts.get(task.id);
      const stands = attempt?.task === task && !attempt.ended;
      if (!stands) this.#leave(task);
      return stands;
    });
    const { workerId: worker } = this.#options;
    for (const { id: taskId, name: taskName, partition, attempt } of starting)
      this.#log.info({ taskId, taskName, partition, attempt, worker }, 'Handling event');
    this.#log.flush();
    for (const task of starting) void this.#run(task, task.payload ?? payloads?.get(task.id) ?? null);
  }

  /** Never rejects: whatever the handler does is the attempt's outcome. */
  async #run(task: ClaimedTask, payload: Json): Promise<void> {
    const attempt = this.#attempts.get(task.id);
    if (attempt?.task !== task || attempt.ended) return this.#leave(task);
    const { clock, random, logger } = this.#options;
    const { abort } = attempt;
    const context = new AttemptContext(task, abort, this.#contextHost);
    const handler = this.#options.handlerFor(task.name);
    const { end, thrown } = await runHandler({
      handler,
      payload,
      context,
      abort,
      task,
      clock,
      random,
      onTimeout: (timeoutMs) =>
        logger.info(
          { taskId: task.id, attempt: task.attempt, timeoutMs },
          'Event takes too long: aborting it',
        ),
      onGivenUp: (end) => this.#end(task, end),
    });
    if (end.kind !== 'COMPLETED') this.#sayThrown(context, end, thrown);
    this.#end(task, end);
    this.#leave(task);
  }

  #sayThrown({ log, signal }: AttemptContext, { kind }: AttemptEnd, thrown: unknown): void {
    if (signal.aborted) log.info({ reason: errorText(thrown) }, 'Event aborted');
    else log.warn({ reason: errorText(thrown), then: kind }, 'Event failed');
    log.debug({ err: thrown }, 'what the handler threw');
  }

  /** Of an attempt that may have ended, or been taken away. */
  #progressed({ id, attempt: number }: AttemptTask, progress: TaskProgress): void {
    const attempt = this.#attempts.get(id);
    if (attempt?.task.attempt === number && !attempt.ended) this.#progress.report(attempt.task, progress);
  }

  /** It runs no more, if it ever did: another of its name may. */
  #leave(task: ClaimedTask): void {
    const next = this.#names.leave(task);
    if (next === undefined) return;
    this.#begin([next]);
    if (!this.#names.isBusy(next.name)) this.#options.onNameFree();
  }

  #end(task: ClaimedTask, end: AttemptEnd): void {
    const attempt = this.#attempts.get(task.id);
    if (attempt?.task !== task || attempt.ended) return;
    attempt.ended = true;
    attempt.giveUp?.cancel();
    this.#progress.forget(task);
    const { id, attempt: number, epoch, incarnation, partition, serial, record, claimedAtMs } = task;
    const { workerId } = this.#options;
    this.#outcomes.write({
      id,
      attempt: number,
      epoch,
      incarnation,
      partition,
      serial,
      record,
      workerId,
      claimedAtMs,
      end,
    });
  }

  #settled(outcome: Outcome, result: OutcomeResult): void {
    const attempt = this.#attempts.get(outcome.id);
    if (result === 'refused') {
      const { id: taskId, end } = outcome;
      this.#options.logger.warn(
        { taskId, attempt: outcome.attempt, end: end.kind },
        'Outcome refused: the attempt is no longer ours',
      );
    }
    if (attempt?.task.attempt === outcome.attempt) this.#forget(attempt.task);
    if (outcome.serial) this.#options.onTurnOver(outcome.partition);
  }

  #dismiss(task: ClaimedTask): void {
    const attempt = this.#attempts.get(task.id);
    if (attempt?.task !== task || attempt.ended) return;
    this.#outcomes.dismiss(task);
    this.#progress.forget(task);
    this.#forget(task);
  }

  #forget(task: ClaimedTask): void {
    if (this.#attempts.get(task.id)?.task === task) this.#attempts.delete(task.id);
    this.#options.onFree();
  }
}
