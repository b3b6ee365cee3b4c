import type { Timer } from '../../libs/core/clock.ts';
import { invariant } from '../../libs/core/invariant.ts';
import { toStoreError } from '../../libs/db/pg-errors.ts';
import { StoreUnavailableError } from '../../libs/db/stores.ts';
import { DatabaseError } from './database-error.ts';
import { Execution } from './execution.ts';
import type { Backend, BackendActivity, StatementFn, Steps } from './execution.ts';
import { enqueue, inDeadlock } from './row-locks.ts';
import type { Lockable, LockMode, Waiter } from './row-locks.ts';
import type { Server } from './server.ts';
import type { Row } from './table.ts';

/** Postgres' deadlock_timeout: how long a statement waits before it looks for a deadlock, once a wait. */
const DEADLOCK_TIMEOUT_MS = 1_000;

/**
 * A transaction and the backend it runs on.
 *
 * ```
 * OPEN ──commit()──▶ COMMITTED
 *   ├── rollback() ──▶ ABORTED
 *   └── an error of a statement, or the backend is ended ──▶ ABORTED, and commit() throws
 * ```
 */
export class SimulatedTransaction implements Backend, BackendActivity {
  readonly applicationName: string;
  readonly nowMs: number;
  readonly locked = new Set<Lockable>();
  waiting: Waiter | undefined;
  locksOwnerTable = false;
  abandoned = false;
  /** When it began, by a clock that is never set. */
  readonly beganMs: number;
  /** Rows written, in order, each as often as it was. */
  readonly writes: Row<unknown>[] = [];
  /** Channels and payloads of NOTIFY, to be sent at commit. */
  readonly notifications = new Set<string>();
  /** The last statement's name. */
  statement = '';
  readonly #server: Server;
  readonly #statementTimeoutMs: number;
  #state: 'OPEN' | 'COMMITTED' | 'ABORTED' = 'OPEN';
  #terminated = false;
  #command = 0;
  #lockTimeoutMs = 0;
  #running: { readonly steps: Steps<unknown>; readonly reject: (error: unknown) => void } | undefined;
  #resume: (() => void) | undefined;
  #suspended = false;
  #sleepTimers: Timer[] = [];
  #statementTimer: Timer | undefined;

  constructor(server: Server, applicationName: string, statementTimeoutMs: number) {
    this.#server = server;
    this.applicationName = applicationName;
    this.nowMs = server.clock.wallMs();
    this.beganMs = server.clock.monotonicMs();
    this.#statementTimeoutMs = statementTimeoutMs;
  }

  get uid(): string {
    return this.#server.uid;
  }

  get partitions(): number {
    return this.#server.partitions;
  }

  /** Whether its statement waits for a lock. */
  get blocked(): boolean {
    return this.waiting !== undefined;
  }

  /** Whether it waits behind others who wait. */
  get queued(): boolean {
    return this.waiting?.sleepsOn === 'queue';
  }

  /** Whether it waits, by way of others, for itself. */
  get deadlocked(): boolean {
    return this.waiting !== undefined && inDeadlock(this.waiting);
  }

  run<R>(statement: StatementFn<R>): Promise<R> {
    return new Promise((resolve, reject) => {
      if (this.#state !== 'OPEN') return reject(this.#failure());
      invariant(this.#running === undefined, 'a backend runs one statement at a time');
      this.statement = statement.name;
      const x = new Execution(this, this.#server.tables);
      const steps = statement.execute(x);
      this.#running = { steps, reject };
      this.#resume = () => {
        try {
          const step = steps.next();
          if (step.done !== true) return this.#sleep(step.value);
          this.#endStatement();
          resolve(step.value);
        } catch (error) {
          this.abort(error);
        }
      };
      this.#server.work(this.#resume);
    });
  }

  commit({ abandoned = false } = {}): void {
    if (this.#state !== 'OPEN') throw terminated();
    invariant(this.#running === undefined, 'a commit in the middle of a statement');
    this.abandoned = abandoned;
    this.#state = 'COMMITTED';
    this.#server.work(() => this.#server.commit(this));
  }

  rollback(): void {
    if (this.#state === 'OPEN') this.abort(new DatabaseError('57014', 'rolled back'));
  }

  /** What a statement after the end meets. */
  #failure(): Error {
    if (this.#terminated) return terminated();
    return new DatabaseError('25P02', 'current transaction is aborted');
  }

  /** Undoes it; its statement, if one is under way, rejects with `error`. */
  abort(error: unknown): void {
    if (this.#state !== 'OPEN') return;
    this.#state = 'ABORTED';
    this.#terminated = error instanceof StoreUnavailableError;
    const running = this.#running;
    this.#server.work(() => {
      if (running !== undefined) this.#endStatement();
      this.#server.rollback(this);
    });
    running?.reject(toStoreError(error));
  }

  wake(): void {
    this.#cancelSleep();
    this.#resume?.();
  }

  sleepAnew(): void {
    this.#cancelSleep();
    this.#startSleepTimers();
  }

  #sleep(waiter: Waiter): void {
    invariant(waiter === this.waiting, 'a statement sleeps on what it has asked for');
    if (!this.#suspended) {
      this.#suspended = true;
      this.#server.suspended += 1;
    }
    if (this.#statementTimeoutMs > 0 && this.#statementTimer === undefined) {
      const cancelled = () => this.abort(new DatabaseError('57014', 'canceling statement due to timeout'));
      this.#statementTimer = this.#server.clock.schedule(this.#statementTimeoutMs, cancelled);
    }
    this.#startSleepTimers();
  }

  #startSleepTimers(): void {
    const { clock } = this.#server;
    this.#sleepTimers.push(
      clock.schedule(DEADLOCK_TIMEOUT_MS, () => {
        if (this.deadlocked) this.abort(new DatabaseError('40P01', 'deadlock detected'));
      }),
    );
    if (this.#lockTimeoutMs === 0) return;
    const tooLong = () => this.abort(new DatabaseError('55P03', 'canceling statement due to lock timeout'));
    this.#sleepTimers.push(clock.schedule(this.#lockTimeoutMs, tooLong));
  }

  #cancelSleep(): void {
    for (const timer of this.#sleepTimers.splice(0)) timer.cancel();
  }

  #endStatement(): void {
    this.#cancelSleep();
    this.#statementTimer?.cancel();
    this.#statementTimer = undefined;
    this.#running = undefined;
    this.#resume = undefined;
    if (!this.#suspended) return;
    this.#suspended = false;
    this.#server.suspended -= 1;
  }

  // ---------------------------------------------------------------- what its statements ask of it (Backend)

  clockTimestampMs(): number {
    return this.#server.clock.wallMs();
  }

  setLockTimeout(ms: number): void {
    this.#lockTimeoutMs = ms;
  }

  enqueue(on: Lockable, mode: LockMode): Waiter {
    return enqueue(on, this, mode, this.#server.nextOrder());
  }

  tryAdvisoryLock(name: string): boolean {
    return this.#server.tryAdvisoryLock(name, this);
  }

  wrote(row: Row<unknown>): void {
    this.writes.push(row);
  }

  notify(partitions: readonly number[], dueAt: number): void {
    if (partitions.length === 0) return;
    const list = [...new Set(partitions)].sort((a, b) => a - b).join(',');
    this.notifications.add(`task_due ${Math.floor(dueAt)}:${list.length < 7_900 ? list : '*'}`);
  }

  notifyCancel(id: number, attempt: number): void {
    this.notifications.add(`task_cancel ${id}:${attempt}`);
  }

  nextTaskId(): number {
    return this.#server.nextTaskId();
  }

  lastTaskId(): number {
    return this.#server.lastTaskId;
  }

  nextRecordId(): number {
    return this.#server.nextRecordId();
  }

  nextCommand(): number {
    return ++this.#command;
  }

  lastCommit(): number {
    return this.#server.lastCommit;
  }

  lockOwnerTable(): void {
    this.locksOwnerTable = true;
  }

  terminate(matches: (other: BackendActivity) => boolean): number {
    return this.#server.terminate((other) => other !== this && matches(other));
  }
}

export const terminated = (): StoreUnavailableError =>
  new StoreUnavailableError('terminating connection due to administrator command', {
    cause: new DatabaseError('57P01', 'terminating connection due to administrator command'),
  });
