/**
 * Postgres as it behaves, under READ COMMITTED, for the statements of libs/db: in one process, on the time of a
 * {@link Clock}, without chance. conformance.integration.test.ts holds it against the real one.
 */
import type { Clock } from '../../libs/core/clock.ts';
import type { StatementFn } from './execution.ts';
import type { OwnerRow, SessionRow, TaskRow } from './rows.ts';
import { Server } from './server.ts';
import type { Commit } from './server.ts';

export type { StatementFn } from './execution.ts';
export type { OwnerRow, SessionRow, TaskRow } from './rows.ts';
export type { Commit } from './server.ts';
export type { Change } from './table.ts';

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
  /** Whether it waits behind others who wait for the same row. */
  readonly queued: boolean;
  /** Whether it waits, by way of others, for itself; found out, and ended, after deadlock_timeout. */
  readonly deadlocked: boolean;
}

export class SimulatedDatabase {
  readonly tasks: ReadonlyMap<number, TaskRow>;
  readonly owners: readonly OwnerRow[];
  readonly sessions: ReadonlyMap<string, SessionRow>;
  readonly #server: Server;
  readonly #commitListeners: ((commit: Commit) => void)[] = [];
  readonly #taskDueListeners: ((partitions: readonly number[] | '*') => void)[] = [];

  constructor(options: DatabaseOptions) {
    const tasks = new Map<number, TaskRow>();
    const owners: OwnerRow[] = [];
    const sessions = new Map<string, SessionRow>();
    [this.tasks, this.owners, this.sessions] = [tasks, owners, sessions];
    this.#server = new Server({
      ...options,
      onCommit: (commit) => {
        for (const { before, after } of commit.tasks) {
          if (after !== undefined) tasks.set(after.id, after);
          else if (before !== undefined) tasks.delete(before.id);
        }
        for (const { after } of commit.owners) if (after !== undefined) owners[after.partitionId] = after;
        for (const { before, after } of commit.sessions) {
          if (after !== undefined) sessions.set(after.incarnation, after);
          else if (before !== undefined) sessions.delete(before.incarnation);
        }
        for (const listener of this.#commitListeners) listener(commit);
      },
      onNotify: (payload) => {
        const partitions = payload === '*' ? payload : payload.split(',').map(Number);
        for (const listener of this.#taskDueListeners) listener(partitions);
      },
    });
    this.#bootstrap(options.partitions);
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

  /** LISTEN task_due: called synchronously, after the listeners of the commit. */
  onTaskDue(listener: (partitions: readonly number[] | '*') => void): void {
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
      },
    });
    transaction.commit();
  }
}
