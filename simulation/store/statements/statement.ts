import type { Execution, StatementFn, Steps } from '../execution.ts';

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

/** The function epoch_ms of the schema. */
export const epochMs = (time: number): number => Math.ceil(time);

/** The function renewed_in_time of the schema. */
export const renewedInTime = (
  { expiresAt, leaseMs }: { readonly expiresAt: number; readonly leaseMs: number },
  at: number,
): boolean => at < expiresAt - 0.35 * leaseMs;

/** ORDER BY of texts, by code unit; Postgres' order depends on the database's collation. */
export const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
