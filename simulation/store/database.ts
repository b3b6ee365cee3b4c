/**
 * Postgres as it behaves, under READ COMMITTED, for the statements of libs/db: in one process, on the time of a
 * {@link Clock}, without chance. conformance.integration.test.ts holds it against the real one.
 */
import type { Clock } from '../../libs/core/clock.ts';
import type { StatementFn } from './execution.ts';
import { RETENTION_KEY } from './rows.ts';
import type { ClaimRecordRow, OwnerRow, RetentionRow, SessionRow, TaskRow, TaskState } from './rows.ts';
import { Server } from './server.ts';
import type { TableCommit } from './server.ts';
import type { Change } from './table.ts';
import { TaskStates } from './task-states.ts';

export type { StatementFn } from './execution.ts';
export type { ClaimRecordRow, OwnerRow, SessionRow, TaskRow, TaskState } from './rows.ts';
export type { Change } from './table.ts';

export interface Commit extends TableCommit {
  /** As readers see them: the view task_state. */
  readonly tasks: readonly Change<TaskState>[];
}

/** Of these partitions (`'*'`: of all), some have something due from that time on. */
export type TaskDueListener = (partitions: readonly number[] | '*', sinceMs: number) => void;

export interface DatabaseOptions {
  /** wallMs() is the database's clock, and may step; monotonic time runs its timeouts. */
  readonly clock: Clock;
  readonly uid: string;
  readonly partitions: number;
}

export interface Transaction {
  /**
   * Runs one statement; waits where Postgres would. An error aborts the transaction.
   * @throws StoreUnavailableError and the others of stores.ts, with a DatabaseError and its SQLSTATE as the cause
   */
  run<R>(statement: StatementFn<R>): Promise<R>;
  /** @throws StoreUnavailableError where it was aborted or its backend ended meanwhile */
  commit(options?: {
    /** The client has given up on the connection. */
    readonly abandoned?: boolean;
  }): void;
  rollback(): void;
  /** Whether its statement waits for a lock. */
  readonly blocked: boolean;
  /** What it waits for: another object for each wait. */
  readonly waiting: object | undefined;
  /** Whether it waits behind others who wait for the same row. */
  readonly queued: boolean;
  /** Whether it waits, by way of others, for itself; found out, and ended, after deadlock_timeout. */
  readonly deadlocked: boolean;
}

export class SimulatedDatabase {
  /** As readers see them: the view task_state. */
  readonly tasks: ReadonlyMap<number, TaskState>;
  readonly taskRows: ReadonlyMap<number, TaskRow>;
  readonly claimRecords: ReadonlyMap<string, ClaimRecordRow>;
  readonly owners: readonly OwnerRow[];
  readonly sessions: ReadonlyMap<string, SessionRow>;
  #retention: RetentionRow | undefined;
  readonly #server: Server;
  readonly #commitListeners: ((commit: Commit) => void)[] = [];
  readonly #taskDueListeners: TaskDueListener[] = [];
  readonly #taskCancelListeners: ((id: number, attempt: number) => void)[] = [];

  constructor(options: DatabaseOptions) {
    const states = new TaskStates();
    const owners: OwnerRow[] = [];
    const sessions = new Map<string, SessionRow>();
    [this.tasks, this.taskRows, this.claimRecords] = [states.states, states.rows, states.records];
    [this.owners, this.sessions] = [owners, sessions];
    this.#server = new Server({
      ...options,
      onCommit: (commit) => {
        const tasks = states.apply(commit);
        for (const { after } of commit.owners) if (after !== undefined) owners[after.partitionId] = after;
        for (const { before, after } of commit.sessions) {
          if (after !== undefined) sessions.set(after.incarnation, after);
          else if (before !== undefined) sessions.delete(before.incarnation);
        }
        for (const { after } of commit.retention) this.#retention = after;
        for (const listener of this.#commitListeners) listener({ ...commit, tasks });
      },
      onNotify: (channel, payload) => {
        if (channel === 'task_cancel') {
          const [id = 0, attempt = 0] = payload.split(':').map(Number);
          for (const listener of this.#taskCancelListeners) listener(id, attempt);
          return;
        }
        const [sinceMs = '', list = ''] = payload.split(':');
        const partitions = list === '*' ? list : list.split(',').map(Number);
        for (const listener of this.#taskDueListeners) listener(partitions, Number(sinceMs));
      },
    });
    this.#bootstrap(options.partitions);
  }

  get retention(): RetentionRow | undefined {
    return this.#retention;
  }

  /**
   * Opens a transaction on a backend of that application_name.
   * @param options.statementTimeoutMs for each of its statements, waits included; by default 0: none
   */
  begin(applicationName: string, { statementTimeoutMs = 0 } = {}): Transaction {
    return this.#server.begin(applicationName, statementTimeoutMs);
  }

  /** The server restarts: open transactions roll back, their statements reject (57P01), what is committed stays. */
  crash(): void {
    this.#server.terminate(() => true);
  }

  /** Called synchronously at each commit that has changed something. */
  onCommit(listener: (commit: Commit) => void): void {
    this.#commitListeners.push(listener);
  }

  /** LISTEN task_cancel: called synchronously, after the listeners of the commit. */
  onTaskCancel(listener: (id: number, attempt: number) => void): void {
    this.#taskCancelListeners.push(listener);
  }

  /** LISTEN task_due: called synchronously, after the listeners of the commit. */
  onTaskDue(listener: TaskDueListener): void {
    this.#taskDueListeners.push(listener);
  }

  /** What cluster-init does. */
  #bootstrap(partitions: number): void {
    const transaction = this.#server.begin('cluster-init', 0);
    void transaction.run({
      name: 'bootstrap',
      *execute(x) {
        for (let partitionId = 0; partitionId < partitions; partitionId++) {
          const free = { epoch: 0, owner: null, incarnation: null, acquiredAt: null };
          x.insert(x.owners, partitionId, { partitionId, ...free });
        }
        x.insert(x.retention, RETENTION_KEY, { place: 0, begunAt: x.nowMs });
      },
    });
    transaction.commit();
  }
}
