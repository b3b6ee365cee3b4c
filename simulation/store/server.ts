import type { Clock } from '../../libs/core/clock.ts';
import type { Tables } from './execution.ts';
import { dequeue, grant, releaseAll } from './row-locks.ts';
import type { Lockable } from './row-locks.ts';
import { checkClaimRecord, checkOwner, checkRetention, checkSession, checkTask } from './rows.ts';
import type { ClaimRecordRow, OwnerRow, RetentionRow, SessionRow, TaskRow } from './rows.ts';
import type { Change } from './table.ts';
import { Table } from './table.ts';
import { SimulatedTransaction, terminated } from './transaction.ts';

export interface TableCommit {
  /** The last statement of the transaction. */
  readonly statement: string;
  readonly applicationName: string;
  /** Whoever asked for it has given up on the connection meanwhile, and will never know. */
  readonly abandoned: boolean;
  /** The transaction's now(). */
  readonly nowMs: number;
  /** The same moment by the monotonic clock. */
  readonly beganMs: number;
  readonly taskRows: readonly Change<TaskRow>[];
  readonly claimRecords: readonly Change<ClaimRecordRow>[];
  readonly owners: readonly Change<OwnerRow>[];
  readonly sessions: readonly Change<SessionRow>[];
  readonly retention: readonly Change<RetentionRow>[];
}

export interface ServerOptions {
  readonly clock: Clock;
  readonly uid: string;
  readonly partitions: number;
  readonly onCommit: (commit: TableCommit) => void;
  readonly onNotify: (channel: string, payload: string) => void;
}

/** What all backends share: the tables, the order of commits, the wake-ups of those who wait. */
export class Server {
  readonly clock: Clock;
  readonly uid: string;
  readonly partitions: number;
  readonly tables: Tables = {
    tasks: new Table(checkTask),
    claimRecords: new Table(checkClaimRecord),
    owners: new Table(checkOwner),
    sessions: new Table(checkSession),
    idempotencyKeys: new Table(() => undefined),
    retention: new Table(checkRetention),
  };
  /** The number of the last commit: a snapshot. */
  lastCommit = 0;
  /** Statements that have waited and are not done: somebody looks at a snapshot that is not the newest. */
  suspended = 0;
  readonly #options: ServerOptions;
  readonly #open = new Set<SimulatedTransaction>();
  /** By whom each is held. */
  readonly #advisoryLocks = new Map<string, SimulatedTransaction>();
  #order = 0;
  #lastTaskId = 0;
  #lastRecordId = 0;
  #depth = 0;
  #ready: (() => void)[] = [];

  constructor(options: ServerOptions) {
    this.#options = options;
    this.clock = options.clock;
    this.uid = options.uid;
    this.partitions = options.partitions;
  }

  begin(applicationName: string, statementTimeoutMs: number): SimulatedTransaction {
    const transaction = new SimulatedTransaction(this, applicationName, statementTimeoutMs);
    this.#open.add(transaction);
    return transaction;
  }

  /** Until the end of `transaction`. @returns whether it has the lock */
  tryAdvisoryLock(name: string, transaction: SimulatedTransaction): boolean {
    const holder = this.#advisoryLocks.get(name) ?? transaction;
    if (holder === transaction) this.#advisoryLocks.set(name, transaction);
    return holder === transaction;
  }

  nextOrder(): number {
    return ++this.#order;
  }

  /** A sequence: what was taken stays taken. */
  nextTaskId(): number {
    return ++this.#lastTaskId;
  }

  get lastTaskId(): number {
    return Math.max(1, this.#lastTaskId);
  }

  nextRecordId(): number {
    return ++this.#lastRecordId;
  }

  /** Runs `step`; whom it has woken goes on after it, in order. */
  work(step: () => void): void {
    this.#depth += 1;
    try {
      step();
      if (this.#depth > 1) return;
      for (let next = this.#ready.shift(); next !== undefined; next = this.#ready.shift()) next();
    } finally {
      this.#depth -= 1;
    }
  }

  commit(transaction: SimulatedTransaction): void {
    this.#open.delete(transaction);
    if (transaction.writes.length > 0) {
      this.lastCommit += 1;
      for (const row of transaction.writes) {
        if (row.writer === transaction) row.commit(this.lastCommit, this.suspended > 0);
      }
    }
    const wanted = this.#release(transaction);
    this.#publish(transaction);
    this.#wake(wanted);
  }

  rollback(transaction: SimulatedTransaction): void {
    this.#open.delete(transaction);
    for (const row of transaction.writes.toReversed()) if (row.writer === transaction) row.rollback();
    const { waiting } = transaction;
    if (waiting !== undefined) dequeue(waiting);
    const wanted = this.#release(transaction);
    if (waiting !== undefined) wanted.push(waiting.on);
    this.#wake(wanted);
  }

  /** Ends the backends that match. @returns how many */
  terminate(matches: (transaction: SimulatedTransaction) => boolean): number {
    const victims = [...this.#open].filter(matches);
    this.work(() => {
      for (const victim of victims) victim.abort(terminated());
    });
    return victims.length;
  }

  #release(transaction: SimulatedTransaction): Lockable[] {
    for (const [name, holder] of this.#advisoryLocks)
      if (holder === transaction) this.#advisoryLocks.delete(name);
    if (this.suspended === 0)
      for (const table of Object.values(this.tables) as Table<unknown>[]) table.vacuum();
    return transaction.locked.size > 0 ? releaseAll(transaction) : [];
  }

  #wake(wanted: readonly Lockable[]): void {
    if (wanted.length === 0) return;
    const { granted, moved } = grant(wanted);
    for (const { locker } of moved) locker.sleepAnew();
    for (const { locker } of granted) this.#ready.push(() => locker.wake());
  }

  #publish({
    statement,
    applicationName,
    abandoned,
    nowMs,
    beganMs,
    notifications,
  }: SimulatedTransaction): void {
    const [taskRows, claimRecords, owners, sessions, retention] = [
      this.tables.tasks.changes.splice(0),
      this.tables.claimRecords.changes.splice(0),
      this.tables.owners.changes.splice(0),
      this.tables.sessions.changes.splice(0),
      this.tables.retention.changes.splice(0),
    ];
    // Nobody looks at these.
    this.tables.idempotencyKeys.changes.length = 0;
    const changes = [taskRows, claimRecords, owners, sessions, retention];
    if (changes.some(({ length }) => length > 0)) {
      this.#options.onCommit({
        statement,
        applicationName,
        abandoned,
        nowMs,
        beganMs,
        taskRows,
        claimRecords,
        owners,
        sessions,
        retention,
      });
    }
    for (const notification of notifications) {
      const [channel = '', payload = ''] = notification.split(' ');
      this.#options.onNotify(channel, payload);
    }
  }
}
