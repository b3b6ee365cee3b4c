import type { Execution, StatementFn, Steps } from '../execution.ts';
import type { ClaimRecordRow, TaskRow } from '../rows.ts';

/** A statement of libs/db/sql with its parameters $1, $2, … Each mirrors its file: the CTEs by name and in order. */
export interface SqlStatement<Parameters extends readonly unknown[], Result extends object> {
  readonly name: string;
  /** @returns the rows */
  execute(x: Execution, ...parameters: Parameters): Steps<Result[]>;
}

export function bind<Parameters extends readonly unknown[], Result extends object>(
  statement: SqlStatement<Parameters, Result>,
  parameters: Parameters,
): StatementFn<Result[]> {
  return { name: statement.name, execute: (x) => statement.execute(x, ...parameters) };
}

/** A partition with its fence. */
export interface Held {
  readonly partition: number;
  readonly epoch: number;
  readonly incarnation: string;
}

/** In the order of partitions, as owner rows are locked. */
export function heldOf(
  partitions: readonly number[],
  epochs: readonly number[],
  incarnations: readonly string[],
): Held[] {
  return partitions
    .map((partition, index) => ({
      ...{ partition, epoch: epochs[index] ?? 0, incarnation: incarnations[index] ?? '' },
    }))
    .sort((a, b) => a.partition - b.partition);
}

/** Of each of `partitions`, how old the oldest record is that may stand there; 0 where the statement is told nothing. */
export const oldestOf =
  (partitions: readonly number[], recordsFrom: readonly (number | null)[]) =>
  (partition: number): number =>
    recordsFrom[partitions.indexOf(partition)] ?? 0;

/** The records of claims in `partitions` that `x` sees, without those that are older than `from` says for theirs. */
export function recordsIn(
  x: Execution,
  partitions: ReadonlySet<number>,
  from: (partition: number) => number = () => 0,
): ClaimRecordRow[] {
  const records: ClaimRecordRow[] = [];
  for (const row of x.claimRecords.rows()) {
    const record = row.visibleTo(x);
    if (record === undefined || !partitions.has(record.partitionId)) continue;
    if (record.id >= from(record.partitionId)) records.push(record);
  }
  return records;
}

/** Those of `ids` that `x` sees. */
export function visibleTasks(x: Execution, ids: readonly number[]): TaskRow[] {
  return ids.flatMap((id) => x.tasks.find(id, x)?.visibleTo(x) ?? []);
}

/** The function epoch_ms of the schema. */
export const epochMs = (time: number): number => Math.ceil(time);

/** The function renewed_in_time of the schema. */
export const renewedInTime = (
  { expiresAt, leaseMs }: { readonly expiresAt: number; readonly leaseMs: number },
  at: number,
): boolean => at < expiresAt - 0.35 * leaseMs;

/** ORDER BY of texts, by code unit; Postgres' order depends on the database's collation. */
export const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
