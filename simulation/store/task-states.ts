import { names, recordKey, toTaskState } from './rows.ts';
import type { ClaimRecordRow, TaskRow, TaskState } from './rows.ts';
import type { TableCommit } from './server.ts';
import type { Change } from './table.ts';

/** The view task_state as committed, kept up commit by commit; and the tables that it is made of. */
export class TaskStates {
  readonly states = new Map<number, TaskState>();
  readonly rows = new Map<number, TaskRow>();
  readonly records = new Map<string, ClaimRecordRow>();
  /** The records that name a task, in the order of their claims. */
  readonly #naming = new Map<number, ClaimRecordRow[]>();

  /** @returns how tasks have changed for readers */
  apply({ taskRows, claimRecords }: TableCommit): Change<TaskState>[] {
    const touched = new Set<number>();
    for (const { before, after } of taskRows) {
      if (after !== undefined) this.rows.set(after.id, after);
      else if (before !== undefined) this.rows.delete(before.id);
      touched.add((after ?? before)?.id ?? 0);
    }
    for (const { before, after } of claimRecords) {
      if (before !== undefined) this.#forget(before);
      if (after !== undefined) this.#remember(after);
      for (const id of (after ?? before)?.taskIds ?? []) touched.add(id);
    }
    const changes: Change<TaskState>[] = [];
    for (const id of touched) {
      const change = this.#renew(id);
      if (change !== undefined) changes.push(change);
    }
    return changes;
  }

  #renew(id: number): Change<TaskState> | undefined {
    const before = this.states.get(id);
    const row = this.rows.get(id);
    // Should two claims have taken one attempt, the later one shows: a change that judges see.
    const record = row && this.#naming.get(id)?.findLast((naming) => names(naming, row));
    const after = row && toTaskState(row, record);
    if (after === undefined) this.states.delete(id);
    else this.states.set(id, after);
    if (before === undefined || after === undefined) return before === after ? undefined : { before, after };
    return (Object.keys(after) as (keyof TaskState)[]).some((column) => before[column] !== after[column])
      ? { before, after }
      : undefined;
  }

  #remember(record: ClaimRecordRow): void {
    this.records.set(recordKey(record), record);
    for (const id of record.taskIds) this.#naming.set(id, [...(this.#naming.get(id) ?? []), record]);
  }

  #forget(record: ClaimRecordRow): void {
    this.records.delete(recordKey(record));
    for (const id of record.taskIds) {
      const left = this.#naming.get(id)?.filter((other) => other !== record) ?? [];
      if (left.length > 0) this.#naming.set(id, left);
      else this.#naming.delete(id);
    }
  }
}
