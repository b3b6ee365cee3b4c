import type { AbortReason } from '../libs/handlers/index.ts';
import type { WorkerProcess } from './cluster/worker-process.ts';
import type { Change as ZnodeChange } from '../libs/embedded/zookeeper/transaction.ts';
import { inLine } from './store/statements/elect-heads.ts';
import { illegalChange } from './legal-changes.ts';
import { judgeOutcome } from './outcomes.ts';
import type { Execution, HandlerEnd, Violation } from './outcomes.ts';
import { Priorities } from './priorities.ts';
import type { Commit, OwnerRow, SimulatedDatabase, TaskState } from './store/database.ts';

const TERMINAL = new Set(['COMPLETED', 'FAILED', 'CANCELLED']);
const key = (id: number, attempt: number) => `${id}/${attempt}`;

/**
 * The promises of docs/ARCHITECTURE.md that must hold at every instant, judged by what is committed in Postgres
 * and ZooKeeper and by which handlers start: never by what the cluster believes of itself.
 */
export class Safety {
  readonly #executions = new Map<string, Execution>();
  readonly #outcomes = new Set<string>();
  /** Removals acknowledged with "removed", and those with "cancelling". */
  readonly #removed = new Set<number>();
  readonly #cancelling = new Map<number, number>();
  /** Tasks that somebody has wanted to end, whatever became of the request. */
  readonly #endAsked = new Set<number>();
  /** Attempts under way whose end was requested. */
  readonly #told = new Set<string>();
  /** The versions that were changed, and whose change nobody was told of yet, `id/revision.attempt`. */
  readonly #patched = new Set<string>();
  readonly #priorities: Priorities;
  /** Of what is to be stored once: how many tasks, which are there, and which were told of. */
  readonly #once = new Map<string, { count: number; stored: number; told?: string }>();
  readonly #removedForAge = new Set<number>();
  readonly #nowMs: () => number;
  readonly #leaseMs: number;
  readonly #keepMs: number | undefined;
  readonly #count: (what: string) => void;
  #database: SimulatedDatabase | undefined;
  #leader: { session: bigint; by: string | undefined } | undefined;
  #violation: Violation | undefined;

  /** @param options.count notes that something happened which is worth having happened */
  constructor(options: {
    readonly nowMs: () => number;
    readonly leaseMs: number;
    /** How long tasks that have ended are kept; undefined: for ever. */
    readonly keepMs: number | undefined;
    readonly count: (what: string) => void;
  }) {
    this.#nowMs = options.nowMs;
    this.#leaseMs = options.leaseMs;
    this.#keepMs = options.keepMs;
    this.#count = options.count;
    this.#priorities = new Priorities(options);
  }

  /** The first promise broken, if any. */
  get violation(): Violation | undefined {
    return this.#violation;
  }

  broken(promise: string, message: string): void {
    this.#violation ??= { promise, message };
  }

  watch(database: SimulatedDatabase): void {
    this.#database = database;
    database.onCommit((commit) => this.#committed(commit));
  }

  // ------------------------------------------------------------------ Postgres

  #committed(commit: Commit): void {
    for (const { before, after } of commit.owners)
      if (before && after) this.#ownerChanged(before, after, commit);
    for (const { before, after } of commit.claimRecords) {
      const gone = after?.taskIds.find(
        (id) => before === undefined && this.#database?.tasks.has(id) === false,
      );
      if (gone !== undefined) this.broken('P2', `task ${gone} was claimed after its removal`);
    }
    for (const { before, after } of commit.tasks) {
      if (before === undefined && after !== undefined) this.#inserted(after);
      if (before !== undefined) this.#taskChanged(before, after, commit);
      if (before !== undefined && after === undefined && commit.statement === 'remove-finished')
        this.#agedOut(before, commit);
    }
    const overtaken = this.#priorities.judge(commit, this.#database?.tasks);
    if (overtaken !== undefined) this.broken('priority', overtaken);
  }

  #inserted({ id, tags }: TaskState): void {
    const once = this.#once.get(tags?.[0] ?? '');
    if (once !== undefined && ++once.stored > once.count)
      this.broken(
        'once',
        `task ${id} of ${tags?.[0] ?? ''} was stored, of which there were ${once.count} already`,
      );
  }

  #ownerChanged(before: OwnerRow, after: OwnerRow, { applicationName }: Commit): void {
    const { partitionId } = after;
    const owner = this.#database?.sessions.get(before.incarnation ?? '');
    if (after.owner === null && owner !== undefined && owner.backendName !== applicationName)
      this.broken(
        'P3',
        `partition ${partitionId} was released by another than its owner ${before.owner ?? ''}`,
      );
    if (after.epoch < before.epoch)
      this.broken(
        'P3',
        `the epoch of partition ${partitionId} went from ${before.epoch} back to ${after.epoch}`,
      );
    const another = after.incarnation !== null && after.incarnation !== before.incarnation;
    if (another && after.epoch === before.epoch)
      this.broken('P3', `partition ${partitionId} has had two incarnations under epoch ${after.epoch}`);
  }

  #taskChanged(before: TaskState, after: TaskState | undefined, commit: Commit): void {
    const { id } = before;
    if (after !== undefined && after.attempt < before.attempt)
      this.broken('P2', `task ${id}: attempt went from ${before.attempt} back to ${after.attempt}`);
    if (after !== undefined) {
      const wrong = illegalChange(before, after, commit.statement);
      if (wrong !== undefined) this.broken('changes', `task ${id} ${wrong}`);
      if (commit.statement === 'patch-task') this.#patched.add(`${id}/${before.revision}.${before.attempt}`);
      if (after.status === 'CANCELLED' && !this.#endAsked.has(id))
        this.broken('changes', `task ${id} is CANCELLED, and nobody has asked for it`);
      if (after.status !== 'RUNNING' && after.removalRequested)
        this.broken('P2', `task ${id} is ${after.status}, and was to be removed with its attempt`);
      if (after.status === 'RUNNING' && after.cancelRequestedAt !== null)
        this.#told.add(key(id, after.attempt));
      if (after.progress !== before.progress && after.progress?.attempt !== after.attempt)
        this.broken(
          'P2',
          `task ${id}: progress of attempt ${after.progress?.attempt} was stored during ${after.attempt}`,
        );
    }
    if (after?.status === 'RUNNING' && (before.status !== 'RUNNING' || after.record !== before.record))
      this.#claimed(before, after, commit);
    if (before.status !== 'RUNNING' || after?.status === 'RUNNING') return;
    this.#ended(before, commit);
    if (after !== undefined) this.#recordedAsItWent(before, after, commit);
  }

  #claimed(before: TaskState, after: TaskState, { nowMs }: Commit): void {
    const { id, partitionId, attempt } = after;
    const owner = this.#database?.owners[partitionId];
    if (owner?.epoch !== after.epoch || owner.incarnation !== after.incarnation)
      this.broken(
        'P3',
        `task ${id} was claimed for ${after.incarnation} under epoch ${after.epoch} while partition ${partitionId} is ${owner?.incarnation ?? 'nobody'}'s under ${owner?.epoch ?? 0}`,
      );
    if (before.status === 'RUNNING')
      this.broken('P2', `task ${id} was claimed while attempt ${before.attempt} runs`);
    if (attempt !== before.attempt + 1)
      this.broken('P2', `task ${id}: attempt ${before.attempt} was followed by ${attempt}`);
    if (before.scheduledAt > nowMs || before.dueAt > nowMs)
      this.broken('P4', `task ${id}, due at ${before.dueAt}, was claimed at ${nowMs}`);
    if (before.cancelRequestedAt !== null)
      this.broken('P2', `task ${id} was claimed though its removal had been requested`);
    if (after.serial) this.#claimedInTurn(after);
  }

  /** P10: the tasks of a line begin one after the other, as they are scheduled. */
  #claimedInTurn(task: TaskState): void {
    let behind = 0;
    for (const other of this.#database?.tasks.values() ?? []) {
      if (other === task || !other.serial) continue;
      if (other.partitionId !== task.partitionId || other.key !== task.key) continue;
      if (other.status === 'RUNNING')
        this.broken('P10', `task ${task.id} was claimed while ${other.id}, of the same line, runs`);
      if (other.status === 'PENDING' && inLine(other, task) < 0)
        this.broken('P10', `task ${task.id} was claimed before ${other.id}, which comes first in their line`);
      if (other.status === 'PENDING') behind += 1;
    }
    if (behind > 0) this.#count('claims of a task for which others wait');
  }

  #ended(before: TaskState, commit: Commit): void {
    const { id, attempt, incarnation } = before;
    if (this.#outcomes.has(key(id, attempt)))
      this.broken('P2', `attempt ${attempt} of task ${id} ended twice`);
    this.#outcomes.add(key(id, attempt));
    if (commit.statement === 'recover-tasks') this.#recovered(before, commit);
    else if (commit.statement === 'finish-tasks') {
      const execution = this.#executions.get(key(id, attempt));
      if (execution !== undefined && !commit.applicationName.startsWith(execution.process.applicationName))
        this.broken(
          'P2',
          `attempt ${attempt} of task ${id} (${incarnation ?? ''}) was ended by a process that did not run it`,
        );
    } else this.broken('P2', `${commit.statement} has ended attempt ${attempt} of task ${id}, which runs`);
  }

  /** what is removed for its age has ended, and that so long ago, by the database's clock, as it is kept. */
  #agedOut({ id, status, completedAt }: TaskState, { nowMs }: Commit): void {
    this.#removedForAge.add(id);
    this.#count('tasks removed for their age');
    if (!TERMINAL.has(status)) this.broken('kept', `task ${id} was removed for its age, and is ${status}`);
    const keptMs = nowMs - (completedAt ?? nowMs);
    if (keptMs < (this.#keepMs ?? Infinity))
      this.broken('kept', `task ${id} was removed ${keptMs} ms after it had ended`);
  }

  #recordedAsItWent(before: TaskState, after: TaskState, commit: Commit): void {
    const execution = this.#executions.get(key(before.id, before.attempt));
    const { violation, noteworthy } = judgeOutcome({
      before,
      after,
      commit,
      execution,
      nowMs: this.#nowMs(),
    });
    if (violation !== undefined) this.broken(violation.promise, violation.message);
    for (const what of noteworthy) this.#count(what);
  }

  /** P7: what still runs is not started again, unless something was wrong with the process that runs it. */
  #recovered({ id, attempt }: TaskState, { nowMs, beganMs }: Commit): void {
    const execution = this.#executions.get(key(id, attempt));
    if (execution === undefined || execution.end !== undefined) return;
    const { process } = execution;
    if (!process.dead) this.#count('attempts taken from a worker that lives');
    // Judged when the statement began; it may have taken its time.
    if (this.#keepsItsLease(process, beganMs))
      this.broken(
        'P7',
        `attempt ${attempt} of task ${id} was taken from ${process.id}, which runs it and is well (database time ${nowMs})`,
      );
  }

  /** Whether nothing had been wrong with this very process, then, for long enough to make up for what was. */
  #keepsItsLease(process: WorkerProcess, atMs = this.#nowMs()): boolean {
    return !process.dead && process.healthy && atMs - process.troubledUntilMs > this.#leaseMs;
  }

  /** Whether it acts at once on what it reads. */
  #isPrompt(process: WorkerProcess): boolean {
    return this.#keepsItsLease(process) && this.#nowMs() - process.wedgedUntilMs > this.#leaseMs;
  }

  // ------------------------------------------------------------------ ZooKeeper

  /** @param paths the znodes that only a leader writes */
  znodesChanged(
    by: string | undefined,
    session: bigint,
    changes: readonly ZnodeChange[],
    paths: { term: string; plan: string; grants: string },
  ): void {
    for (const change of changes) {
      if (!('path' in change)) continue;
      if (change.path === paths.term && change.type === 'setData') this.#leader = { session, by };
      const leaderOnly =
        (change.path === paths.plan && change.type === 'setData') ||
        change.path.startsWith(`${paths.grants}/`);
      if (leaderOnly && session !== this.#leader?.session)
        this.broken(
          'P9',
          `${by ?? 'somebody'} wrote ${change.path} in the term of ${this.#leader?.by ?? 'nobody'}`,
        );
    }
  }

  /** ZooKeeper has lost its data: terms begin again. */
  wiped(): void {
    this.#leader = undefined;
  }

  // ------------------------------------------------------------------ handlers and users

  handlerStarted(process: WorkerProcess, id: number, attempt: number): void {
    if (this.#executions.has(key(id, attempt)))
      this.broken('P2', `attempt ${attempt} of task ${id} was started twice`);
    // A process paused between reading a task and starting it cannot know: no scheduler could.
    if (this.#isPrompt(process)) this.#startedAsRecorded(process, id, attempt);
    const last = this.#cancelling.get(id);
    if (last !== undefined && attempt > last)
      this.broken('P2', `task ${id} was started anew after its cancellation`);
    this.#executions.set(key(id, attempt), {
      process,
      sinceMs: this.#nowMs(),
      end: undefined,
      tookMs: undefined,
    });
  }

  #startedAsRecorded({ id: worker, applicationName }: WorkerProcess, id: number, attempt: number): void {
    if (this.#removed.has(id)) this.broken('P2', `task ${id} was started after its removal`);
    const row = this.#database?.tasks.get(id);
    const claimer = this.#database?.sessions.get(row?.incarnation ?? '')?.backendName ?? '';
    if (row?.status !== 'RUNNING' || row.attempt !== attempt || !claimer.startsWith(applicationName))
      this.broken(
        'P2',
        `${worker} started attempt ${attempt} of task ${id}, which is ${row?.status ?? 'gone'} with attempt ${row?.attempt ?? 0} of ${row?.incarnation ?? 'nobody'}`,
      );
  }

  /** @param told why it was told to stop, where it was */
  handlerEnded(id: number, attempt: number, end: HandlerEnd, told: AbortReason | undefined): void {
    const execution = this.#executions.get(key(id, attempt));
    if (execution !== undefined) {
      execution.end = end;
      // Frozen, it may find its time over only when it is done.
      if (this.#isPrompt(execution.process)) execution.tookMs = this.#nowMs() - execution.sinceMs;
    }
    if (told !== 'cancelled') return;
    this.#count('handlers told that they are cancelled');
    if (!this.#told.has(key(id, attempt)))
      this.broken(
        'changes',
        `attempt ${attempt} of task ${id} was told that it is cancelled, which another was`,
      );
  }

  /** Whether a handler is at work on it. */
  runs(id: number, attempt: number): boolean {
    const execution = this.#executions.get(key(id, attempt));
    return execution !== undefined && execution.end === undefined && !execution.process.dead;
  }

  /** A user was told that the task is gone. */
  removalAcknowledged(id: number): void {
    this.#removed.add(id);
  }

  /** A user was told that the attempt under way is the last. */
  cancellationAcknowledged(id: number): void {
    this.#cancelling.set(id, this.#database?.tasks.get(id)?.attempt ?? Infinity);
  }

  /** A user is about to ask for its cancellation or removal. */
  endAsked(id: number): void {
    this.#endAsked.add(id);
  }

  /** Users are about to submit so many tasks with one Idempotency-Key. */
  onceAsked(idempotencyKey: string, count: number): void {
    this.#once.set(idempotencyKey, { count, stored: 0 });
  }

  /** One of them was told which they are. */
  onceAcknowledged(idempotencyKey: string, ids: readonly number[]): void {
    const once = this.#once.get(idempotencyKey);
    if (once === undefined) return;
    if (once.told !== undefined) this.#count('submissions answered as at first');
    once.told ??= ids.join();
    if (once.told !== ids.join())
      this.broken('once', `${idempotencyKey} is answered with ${ids.join()}, and was with ${once.told}`);
  }

  /** A user was told that it was changed, which it was to be only if it was of that version. */
  patchAcknowledged(id: number, version: string): void {
    this.#count('patches of a version');
    if (!this.#patched.delete(`${id}/${version}`))
      this.broken('changes', `task ${id} was changed as of version ${version}, and was of another`);
  }

  /** Whether it was removed because it had ended long ago. */
  agedOut(id: number): boolean {
    return this.#removedForAge.has(id);
  }

  get handlersStarted(): number {
    return this.#executions.size;
  }
}
