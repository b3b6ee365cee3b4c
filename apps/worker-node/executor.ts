import type { Json, TaskId } from '../../libs/core/task.ts';
import type { Clock } from '../../libs/core/clock.ts';
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
import { AttemptAbort } from './attempt-abort.ts';
import type { Availability } from './availability.ts';
import type { AttemptTask } from './attempt-context.ts';
import { endOfThrown } from './attempt-end.ts';
import { AttemptRunner } from './attempt-runner.ts';
import type { Attempt } from './attempt-runner.ts';
import { EarlyCancellations } from './early-cancellations.ts';
import type { Handler } from './handlers/handler.ts';
import { NameLimits } from './name-limits.ts';
import { OutcomeWriter } from './outcome-writer.ts';
import { PayloadReader } from './payload-reader.ts';
import { ProgressWriter } from './progress-writer.ts';

const HANDED_BACK: AttemptEnd = { kind: 'HANDED_BACK' };

/** Together with others, before it may have to wait for those of its name; a long payload is read when it is its turn. */
const isReadAtOnce = ({ payload, payloadIsShort }: ClaimedTask) =>
  payload === undefined && payloadIsShort === true;

const newAttempt = (task: ClaimedTask, sinceMs: number): Attempt => ({
  task,
  payload: task.payload,
  abort: new AttemptAbort(),
  sinceMs,
  running: false,
  ended: false,
  recording: false,
});

export interface ExecutorOptions {
  readonly store: ExecutionStore;
  readonly availability: Availability;
  readonly handlerFor: (name: string) => Handler;
  /** Tasks of other names are left where they are; undefined: there is a handler for all. */
  readonly handledNames: readonly string[] | undefined;
  readonly workerId: string;
  /** Attempts in flight at most, from claim to when the outcome is sent to be recorded. */
  readonly capacity: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Whether the partition of a task is still this worker's, as it was when the task was claimed. */
  readonly holds: (task: ClaimedTask) => boolean;
  /** Called whenever an attempt has left or its outcome is sent, and so a place is free. */
  readonly onFree: () => void;
  /** Called when more of a name may be claimed again, see {@link Executor.claimable}. */
  readonly onNameFree: () => void;
  /** Called when a serial task's attempt there has ended: it may be another's turn. */
  readonly onTurnOver: (partition: number) => void;
}

/**
 * The attempts of this worker, each
 * ```
 * claimed → (payload read →) (others of its name ended →) (long payload read →) handler running → ended → outcome recorded
 * ```
 * and in flight from the first to the last; counted against the capacity but for those that wait for others of their name, and
 * for one batch of outcomes that is being recorded: what is claimed meanwhile has not to wait for it.
 */
export class Executor {
  readonly #options: ExecutorOptions;
  /** In the order in which they were taken in hand. */
  readonly #attempts = new Map<TaskId, Attempt>();
  /** How many of them are being recorded. */
  #recording = 0;
  readonly #outcomes: OutcomeWriter;
  readonly #progress: ProgressWriter;
  readonly #names: NameLimits<ClaimedTask>;
  readonly #payloads: PayloadReader;
  readonly #early: EarlyCancellations;
  readonly #runner: AttemptRunner;
  readonly #stop = new AbortController();

  constructor(options: ExecutorOptions) {
    this.#options = options;
    const { store, availability, clock, random, logger, handlerFor, workerId } = options;
    this.#names = new NameLimits({
      limitOf: (name) => handlerFor(name).concurrency,
      onNoneWaits: options.onNameFree,
    });
    this.#early = new EarlyCancellations(clock);
    this.#payloads = new PayloadReader({
      ...{ store, availability, clock, logger, stop: this.#stop.signal },
      onRead: (tasks, payloads) => this.#payloadsRead(tasks, payloads),
      onFailed: (task, error) => this.#endUnstarted(task, endOfThrown(error, task, random)),
    });
    this.#progress = new ProgressWriter({ store, availability, clock, logger });
    this.#runner = new AttemptRunner({
      ...{ handlerFor, workerId, clock, random, logger },
      progressed: (attempt, progress) => this.#progressed(attempt, progress),
      onEnd: (task, end) => this.#end(task, end),
      onLeave: (task) => this.#leave(task),
    });
    this.#outcomes = new OutcomeWriter({
      ...{ store, availability, logger },
      onSending: (outcomes) => this.#sending(outcomes),
      onSettled: (outcome, result) => this.#settled(outcome, result),
    });
  }

  /** How many more attempts fit. */
  get free(): number {
    const counted = this.#attempts.size - this.#names.waiting - this.#recording;
    return Math.max(0, this.#options.capacity - counted);
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

  /** How long the one that has not ended has been in flight that has been longest, in ms. */
  get longestMs(): number {
    for (const { ended, sinceMs } of this.#attempts.values())
      if (!ended) return this.#options.clock.monotonicMs() - sinceMs;
    return 0;
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
    const sinceMs = this.#options.clock.monotonicMs();
    for (const task of tasks) {
      // A lower attempt of the same task can still be here: it was taken from us, and has come back.
      const lower = this.#attempts.get(task.id)?.task;
      if (lower !== undefined) {
        this.abort(lower.id, lower.attempt, 'lost');
        this.#dismiss(lower);
      }
      this.#outcomes.expect(task);
      this.#remove(task.id);
      this.#attempts.set(task.id, newAttempt(task, sinceMs));
    }
    const standing = tasks.filter((task) => this.#stillStands(task));
    this.#enter(standing.filter((task) => !isReadAtOnce(task)));
    this.#payloads.read(standing.filter(isReadAtOnce));
  }

  /** Otherwise it is over before it has begun. */
  #stillStands(task: ClaimedTask): boolean {
    // A claim whose reply came too late: as if it had not been made.
    if (this.#stop.signal.aborted) this.#endUnstarted(task, HANDED_BACK);
    else if (this.#early.has(task.id, task.attempt)) this.abort(task.id, task.attempt, 'cancelled');
    else return true;
    return false;
  }

  /** Begins those that have not to wait for others of their name. */
  #enter(tasks: readonly ClaimedTask[]): void {
    this.#begin(
      tasks.filter((task) => {
        if (this.#names.enter(task)) return true;
        if (!this.#options.holds(task)) this.#endUnstarted(task, HANDED_BACK);
        return false;
      }),
    );
  }

  /** Runs these, which have a place among those of their names. */
  #begin(tasks: readonly ClaimedTask[]): void {
    const attempts = tasks.flatMap((task) => this.#stands(task) ?? []);
    const ready = attempts.filter(({ payload }) => payload !== undefined);
    if (ready.length > 0) this.#runner.start(ready);
    if (ready.length === attempts.length) return;
    this.#payloads.read(attempts.filter(({ payload }) => payload === undefined).map(({ task }) => task));
  }

  /**
   * Tells a running handler that its outcome no longer counts, or will be discarded; it is given up where it does not heed
   * that. What has not started ends at once, and never will.
   */
  abort(id: TaskId, attempt: number, reason: AbortReason): void {
    const found = this.#attempts.get(id);
    if (found?.task.attempt !== attempt) {
      if (reason === 'cancelled') this.#early.add(id, attempt);
      return;
    }
    if (found.ended || found.abort.aborted) return;
    this.#options.logger.info({ taskId: id, attempt, reason }, 'Aborting event');
    found.abort.abort(new AttemptAbortedError(reason));
    if (!found.running) {
      // No handler is there to be told.
      if (reason === 'lost') this.#dismiss(found.task);
      this.#endUnstarted(found.task, HANDED_BACK);
    } else if (reason !== 'stopping') this.#runner.giveUpLater(found);
  }

  /** Hands back what waits for others of its name: it will not be started here any more. */
  handBackWaiting(): void {
    for (const task of this.#names.waitingTasks) this.#endUnstarted(task, HANDED_BACK);
  }

  /** The same, of partitions that are no longer ours: who owns them may start it. */
  handBackNotHeld(): void {
    for (const task of this.#names.waitingTasks)
      if (!this.#options.holds(task)) this.#endUnstarted(task, HANDED_BACK);
  }

  /** Hands back every attempt that still runs, telling its handler. To be called when the grace is over. */
  handBackRunning(): void {
    this.#stop.abort();
    this.handBackWaiting();
    for (const task of this.running()) {
      this.abort(task.id, task.attempt, 'stopping');
      this.#end(task, HANDED_BACK);
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

  #payloadsRead(tasks: readonly ClaimedTask[], payloads: ReadonlyMap<TaskId, Json>): void {
    for (const task of tasks) {
      const attempt = this.#stands(task);
      if (attempt !== undefined) attempt.payload = payloads.get(task.id);
      if (attempt?.payload !== undefined) continue;
      this.#dismiss(task);
      this.#leave(task);
    }
    const read = tasks.filter((task) => this.#stands(task) !== undefined);
    this.#enter(read.filter(isReadAtOnce));
    this.#begin(read.filter((task) => !isReadAtOnce(task)));
  }

  /** The attempt of this task as it was claimed, where it has neither ended nor been taken away. */
  #stands(task: ClaimedTask): Attempt | undefined {
    const attempt = this.#attempts.get(task.id);
    return attempt?.task === task && !attempt.ended ? attempt : undefined;
  }

  /** Of an attempt that may have ended, or been taken away. */
  #progressed({ id, attempt: number }: AttemptTask, progress: TaskProgress): void {
    const attempt = this.#attempts.get(id);
    if (attempt?.task.attempt === number && !attempt.ended) this.#progress.report(attempt.task, progress);
  }

  /** It runs no more, or never will: another of its name may. */
  #leave(task: ClaimedTask): void {
    const next = this.#names.leave(task);
    if (next !== undefined) this.#begin([next]);
  }

  /** Its handler is not called, and never will be. */
  #endUnstarted(task: ClaimedTask, end: AttemptEnd): void {
    this.#end(task, end);
    this.#leave(task);
  }

  #end(task: ClaimedTask, end: AttemptEnd): void {
    const attempt = this.#stands(task);
    if (attempt === undefined) return;
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

  #sending(outcomes: readonly Outcome[]): void {
    for (const { id, attempt } of outcomes) {
      const sent = this.#attempts.get(id);
      if (sent?.task.attempt !== attempt || sent.recording) continue;
      sent.recording = true;
      this.#recording += 1;
    }
    this.#options.onFree();
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
    if (this.#stands(task) === undefined) return;
    this.#outcomes.dismiss(task);
    this.#progress.forget(task);
    this.#forget(task);
  }

  #forget(task: ClaimedTask): void {
    if (this.#attempts.get(task.id)?.task === task) this.#remove(task.id);
    this.#options.onFree();
  }

  #remove(id: TaskId): void {
    if (this.#attempts.get(id)?.recording === true) this.#recording -= 1;
    this.#attempts.delete(id);
  }
}
