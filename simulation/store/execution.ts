import { DatabaseError } from './database-error.ts';
import { tryLock } from './row-locks.ts';
import type { Lockable, Locker, LockMode, Waiter } from './row-locks.ts';
import type {
  ClaimRecordRow,
  IdempotencyKeyRow,
  OwnerRow,
  RetentionRow,
  SessionRow,
  TaskRow,
} from './rows.ts';
import type { Row, Snapshot, Table } from './table.ts';

export interface Tables {
  readonly tasks: Table<TaskRow>;
  readonly claimRecords: Table<ClaimRecordRow>;
  readonly owners: Table<OwnerRow>;
  readonly sessions: Table<SessionRow>;
  readonly idempotencyKeys: Table<IdempotencyKeyRow>;
  readonly retention: Table<RetentionRow>;
}

/** A statement on its way: it yields what it has to wait for, and is resumed with the lock in its hands. */
export type Steps<R> = Generator<Waiter, R, void>;

/** One statement, in TypeScript. */
export interface StatementFn<R> {
  /** As its file in libs/db/sql is called. */
  readonly name: string;
  execute(x: Execution): Steps<R>;
}

/** What a statement needs of its transaction and of the server. */
export interface Backend extends Locker {
  readonly applicationName: string;
  /** now(): when the transaction began. */
  readonly nowMs: number;
  readonly uid: string;
  readonly partitions: number;
  clockTimestampMs(): number;
  /** For the rest of the transaction; 0 is for ever. */
  setLockTimeout(ms: number): void;
  enqueue(on: Lockable, mode: LockMode): Waiter;
  /** pg_try_advisory_xact_lock */
  tryAdvisoryLock(name: string): boolean;
  wrote(row: Row<unknown>): void;
  /** The function notify_task_due: at commit. */
  notify(partitions: readonly number[], dueAt: number): void;
  /** NOTIFY task_cancel: at commit. */
  notifyCancel(id: number, attempt: number): void;
  nextTaskId(): number;
  /** last_value of that sequence. */
  lastTaskId(): number;
  nextRecordId(): number;
  /** Numbers the statement that begins now, within the transaction. */
  nextCommand(): number;
  /** The number of the last commit, which a statement that begins now sees. */
  lastCommit(): number;
  /** From now on pg_locks shows it with a RowShareLock of partition_owner. */
  lockOwnerTable(): void;
  /** pg_terminate_backend of all other transactions that match. @returns how many did */
  terminate(matches: (other: BackendActivity) => boolean): number;
}

/** A line of pg_stat_activity. */
export interface BackendActivity {
  readonly applicationName: string;
  /** xact_start */
  readonly nowMs: number;
  readonly locksOwnerTable: boolean;
}

/** 'NO LOCK' reads like 'FOR ...' reads, and locks nothing: for experiments that take a safeguard away. */
export type SelectLock = LockMode | 'NO LOCK';

/**
 * One statement at work under READ COMMITTED, or the statements of one function after the other. It reads by the snapshot of its start. A row that it locks or writes
 * and that has changed since is taken as it stands now if its `where` still holds for it (EvalPlanQual in
 * executor/execMain.c), while everything else that `where` looks at keeps the snapshot.
 */
export class Execution implements Snapshot {
  readonly transaction: Backend;
  readonly tasks: Table<TaskRow>;
  readonly claimRecords: Table<ClaimRecordRow>;
  readonly owners: Table<OwnerRow>;
  readonly sessions: Table<SessionRow>;
  readonly idempotencyKeys: Table<IdempotencyKeyRow>;
  readonly retention: Table<RetentionRow>;
  /** now() */
  readonly nowMs: number;
  #command: number;
  #at: number;

  constructor(transaction: Backend, tables: Tables) {
    this.transaction = transaction;
    this.#command = transaction.nextCommand();
    this.#at = transaction.lastCommit();
    this.tasks = tables.tasks;
    this.claimRecords = tables.claimRecords;
    this.owners = tables.owners;
    this.sessions = tables.sessions;
    this.idempotencyKeys = tables.idempotencyKeys;
    this.retention = tables.retention;
    this.nowMs = transaction.nowMs;
  }

  get command(): number {
    return this.#command;
  }

  get at(): number {
    return this.#at;
  }

  /** The next statement of a function that is VOLATILE begins: it has a snapshot of its own, and sees what the last one wrote. */
  nextStatement(): void {
    this.#command = this.transaction.nextCommand();
    this.#at = this.transaction.lastCommit();
  }

  /** `SELECT … WHERE where FOR mode` of one row: its newest version, locked, or undefined where it does not match. */
  *select<T>(
    row: Row<T> | undefined,
    where: (version: T) => boolean,
    mode: SelectLock,
    wait?: 'SKIP LOCKED',
  ): Steps<T | undefined> {
    const seen = row?.visibleTo(this);
    if (row === undefined || seen === undefined || !where(seen)) return undefined;
    if (mode === 'NO LOCK') return seen;
    if (!tryLock(row, this.transaction, mode)) {
      if (wait === 'SKIP LOCKED') return undefined;
      yield this.transaction.enqueue(row, mode);
    }
    return this.#recheck(row, seen, where);
  }

  /** `UPDATE … SET set WHERE where` of one row. @returns its new version, or undefined where it does not match */
  *update<T>(
    row: Row<T> | undefined,
    where: (version: T) => boolean,
    set: (version: T) => T,
  ): Steps<T | undefined> {
    const seen = row?.visibleTo(this);
    if (row === undefined || seen === undefined || !where(seen)) return undefined;
    // The new row is made of what the snapshot shows, and checked, before the row is found to have moved on.
    row.table.check(set(seen));
    if (!tryLock(row, this.transaction, 'FOR NO KEY UPDATE'))
      yield this.transaction.enqueue(row, 'FOR NO KEY UPDATE');
    const newest = this.#recheck(row, seen, where);
    return newest === undefined ? undefined : this.#write(row, set(newest));
  }

  /** `DELETE … WHERE where` of one row. @returns the version deleted, or undefined where it does not match */
  *delete<T>(row: Row<T> | undefined, where: (version: T) => boolean): Steps<T | undefined> {
    const seen = row?.visibleTo(this);
    if (row === undefined || seen === undefined || !where(seen)) return undefined;
    if (!tryLock(row, this.transaction, 'FOR UPDATE')) yield this.transaction.enqueue(row, 'FOR UPDATE');
    const newest = this.#recheck(row, seen, where);
    if (newest === undefined) return undefined;
    row.write(this, undefined);
    this.transaction.wrote(row);
    return newest;
  }

  /** `INSERT` of a row whose key is new. */
  insert<T>(table: Table<T>, key: number | string, value: T): T {
    table.check(value);
    const row = table.add(key);
    tryLock(row, this.transaction, 'FOR UPDATE');
    row.write(this, value);
    this.transaction.wrote(row);
    return value;
  }

  /**
   * `INSERT … ON CONFLICT DO UPDATE SET set WHERE where`: of the newest row under `key`, whatever the snapshot shows.
   * @returns its new version, or undefined where the row that was there does not match, and is locked
   */
  *upsert<T>(
    table: Table<T>,
    key: number | string,
    value: T,
    set: (existing: T) => T,
    where: (existing: T) => boolean = () => true,
  ): Steps<T | undefined> {
    for (;;) {
      const row = table.occupant(key);
      if (row === undefined) return this.insert(table, key, value);
      if (!tryLock(row, this.transaction, 'FOR NO KEY UPDATE'))
        yield this.transaction.enqueue(row, 'FOR NO KEY UPDATE');
      const newest = row.newestFor(this.transaction);
      if (newest === undefined) {
        if (row.writer === this.transaction) return this.insert(table, key, value);
        continue; // Deleted, or never inserted, by whom we waited for.
      }
      if (row.writtenBy(this)) {
        throw new DatabaseError('21000', 'ON CONFLICT DO UPDATE command cannot affect row a second time');
      }
      return where(newest) ? this.#write(row, set(newest)) : undefined;
    }
  }

  #recheck<T>(row: Row<T>, seen: T, where: (version: T) => boolean): T | undefined {
    if (row.writtenBy(this)) return undefined;
    const newest = row.newestFor(this.transaction);
    if (newest === seen || newest === undefined) return newest;
    return where(newest) ? newest : undefined;
  }

  #write<T>(row: Row<T>, value: T): T {
    row.table.check(value);
    row.write(this, value);
    this.transaction.wrote(row);
    return value;
  }
}
