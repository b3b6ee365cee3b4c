import { Lockable } from './row-locks.ts';

/** What a statement may see: what was committed at its start, and what its own transaction wrote before it. */
export interface Snapshot {
  readonly transaction: object;
  /** The statement's number within its transaction. */
  readonly command: number;
  /** The number of the last commit it sees. */
  readonly at: number;
}

export interface Change<T> {
  readonly before: T | undefined;
  readonly after: T | undefined;
}

type Key = number | string;

/** A row through its versions, from its insertion to its deletion; `undefined` is: not there. */
export class Row<T> extends Lockable {
  readonly table: Table<T>;
  readonly key: Key;
  committed: T | undefined;
  #committedAt = 0;
  /** Newest first; only as long as a statement that waits may look at them. */
  #older: { readonly value: T | undefined; readonly at: number }[] | undefined;
  writer: object | undefined;
  #written: { readonly value: T | undefined; readonly command: number }[] = [];

  constructor(table: Table<T>, key: Key) {
    super();
    this.table = table;
    this.key = key;
  }

  visibleTo({ transaction, command, at }: Snapshot): T | undefined {
    if (this.writer === transaction) {
      const own = this.#written.findLast((version) => version.command < command);
      if (own !== undefined) return own.value;
    }
    if (this.#committedAt <= at) return this.committed;
    return this.#older?.find((version) => version.at <= at)?.value;
  }

  /** The newest version, as who holds its lock finds it. */
  newestFor(transaction: object): T | undefined {
    return this.writer === transaction ? this.#written.at(-1)?.value : this.committed;
  }

  /** Written by this very statement, which then passes it by. */
  writtenBy({ transaction, command }: Snapshot): boolean {
    return this.writer === transaction && this.#written.at(-1)?.command === command;
  }

  /** By the holder of its lock; `undefined` deletes. */
  write({ transaction, command }: Snapshot, value: T | undefined): void {
    this.writer = transaction;
    this.#written.push({ value, command });
  }

  /** Makes what was written visible to snapshots from `at` on. `keep`: somebody may still look at what was before. */
  commit(at: number, keep: boolean): void {
    const before = this.committed;
    const after = this.#written.at(-1)?.value;
    if (keep) {
      (this.#older ??= []).unshift({ value: before, at: this.#committedAt });
      this.table.aged.push(this);
    }
    this.committed = after;
    this.#committedAt = at;
    this.writer = undefined;
    this.#written = [];
    if (before !== after) this.table.changes.push({ before, after });
    if (after === undefined) this.table.bury(this);
  }

  rollback(): void {
    this.writer = undefined;
    this.#written = [];
    if (this.committed === undefined) this.table.forget(this);
    else this.table.restore(this);
  }

  forgetOlder(): void {
    this.#older = undefined;
  }
}

/** The rows of a table by their primary key, in the order of insertion. */
export class Table<T> {
  readonly #rows = new Map<Key, Row<T>>();
  /** Deleted or replaced under their key, and perhaps still visible to somebody. */
  #dead: Row<T>[] = [];
  /** Rows that keep older versions. */
  aged: Row<T>[] = [];
  /** Of the commit under way. */
  changes: Change<T>[] = [];
  readonly #check: { check(row: T): void };

  constructor(check: (row: T) => void) {
    this.#check = { check };
  }

  /** @throws DatabaseError where a CHECK constraint does not hold */
  check(row: T): void {
    this.#check.check(row);
  }

  /** All rows of which anybody may see anything. */
  rows(): Iterable<Row<T>> {
    return this.#dead.length === 0 ? this.#rows.values() : [...this.#dead, ...this.#rows.values()];
  }

  /** The row that `snapshot` sees under `key`. */
  find(key: Key, snapshot: Snapshot): Row<T> | undefined {
    const row = this.#rows.get(key);
    if (this.#dead.length === 0 || row?.visibleTo(snapshot) !== undefined) return row;
    return this.#dead.find((dead) => dead.key === key && dead.visibleTo(snapshot) !== undefined) ?? row;
  }

  /** The row that occupies `key`, visible or not. */
  occupant(key: Key): Row<T> | undefined {
    return this.#rows.get(key);
  }

  /** A new row under a key whose occupant, if any, its own transaction has deleted. */
  add(key: Key): Row<T> {
    const replaced = this.#rows.get(key);
    if (replaced !== undefined) {
      this.#dead.push(replaced);
      this.#rows.delete(key);
    }
    const row = new Row<T>(this, key);
    this.#rows.set(key, row);
    return row;
  }

  bury(row: Row<T>): void {
    this.forget(row);
    if (!this.#dead.includes(row)) this.#dead.push(row);
  }

  forget(row: Row<T>): void {
    if (this.#rows.get(row.key) === row) this.#rows.delete(row.key);
  }

  /** Its deletion was rolled back, and with it what had replaced it. */
  restore(row: Row<T>): void {
    if (this.#dead.length === 0 || !this.#dead.includes(row)) return;
    this.#dead = this.#dead.filter((other) => other !== row);
    this.#rows.set(row.key, row);
  }

  /** Nobody looks at older versions any more. */
  vacuum(): void {
    if (this.#dead.length > 0) this.#dead = this.#dead.filter(({ writer }) => writer !== undefined);
    if (this.aged.length === 0) return;
    for (const row of this.aged) row.forgetOlder();
    this.aged = [];
  }
}
