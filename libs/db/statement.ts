/** The hot statements: sql/NAME.sql, prepared once a connection. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import pg from 'pg';
import type { CustomTypesConfig, QueryResultRow } from 'pg';
import { invariant } from '../core/invariant.ts';
import type { Database } from './client.ts';
import { isRetryable, isUnprepared, toStoreError } from './pg-errors.ts';

export interface Statement {
  /** Of the file and, by a hash, of its text. */
  readonly name: string;
  readonly text: string;
}

const DEADLOCK_RETRIES = 5;

/**
 * Those behind a proxy that gives each transaction another backend and knows nothing of prepared statements: a
 * statement prepared on one backend is not there, or is there already, on the next. And those that a migration has overtaken. They
 * do without names.
 */
const withoutNames = new WeakSet<Database>();

/**
 * Loads sql/NAME.sql. Its header stays behind: pg_stat_activity shows only the first 1,024 bytes of a query. It is prepared under a
 * name that no other build gives to another text: behind a pooling proxy two builds may share a backend.
 */
export function loadStatement(file: string): Statement {
  const sql = readFileSync(new URL(`./sql/${file}.sql`, import.meta.url), 'utf8');
  const text = `/* ${file} */ ${sql.replace(/^(--.*\n)+/, '').trim()}`;
  return { name: `${file} ${createHash('sha256').update(text).digest('hex').slice(0, 8)}`, text };
}

/**
 * Runs one statement, in a transaction of its own; a deadlock's victim is tried again at once, a few times; so is
 * one that was not carried out because its backend knows another set of prepared statements than the connection's.
 * @returns its rows
 * @throws StoreUnavailableError, StoreNotInitialisedError or InvalidInputError; anything else is a fault of ours
 */
export async function run<Row extends QueryResultRow>(
  db: Database,
  statement: Statement,
  values: unknown[],
): Promise<Row[]> {
  for (let retry = 0; ; retry++) {
    const { name, text } = statement;
    const named = !withoutNames.has(db);
    try {
      const { rows } = await db.query<Row>({ ...(named && { name }), text, values, types });
      return rows;
    } catch (error) {
      if (named && isUnprepared(error)) withoutNames.add(db);
      else if (!isRetryable(error) || retry >= DEADLOCK_RETRIES) throw toStoreError(error);
    }
  }
}

/** As {@link run}, for a statement that returns exactly one row. */
export async function runForOne<Row extends QueryResultRow>(
  db: Database,
  statement: Statement,
  values: unknown[],
): Promise<Row> {
  const rows = await run<Row>(db, statement, values);
  const [row] = rows;
  invariant(
    row !== undefined && rows.length === 1,
    `${statement.name} returned ${rows.length} rows, not one`,
  );
  return row;
}

const INT8 = 20;
const INT8_ARRAY = 1016;
const INT4_ARRAY = 1007;
const defaultParser = pg.types.getTypeParser as (oid: number, format?: string) => (text: string) => unknown;

const parsers = new Map<number, (text: string) => unknown>([
  [INT8, parseSafeInteger],
  [INT8_ARRAY, parseIntegers],
  [INT4_ARRAY, parseIntegers],
]);

/** pg's own parsers, but a bigint is a number: ids and epochs are safe integers. */
const types = {
  getTypeParser: (oid: number, format?: string) => parsers.get(oid) ?? defaultParser(oid, format),
} as CustomTypesConfig;

/** An array of numbers as a parameter. pg would write each as a text of its own, which takes five times as long. */
export class NumberArray {
  readonly values: readonly (number | null)[];

  constructor(values: readonly (number | null)[]) {
    this.values = values;
  }

  /** pg calls it. */
  toPostgres(): string {
    return `{${this.values.map((value) => value ?? 'NULL').join()}}`;
  }
}

export function numbers(values: readonly (number | null)[]): NumberArray {
  return new NumberArray(values);
}

/** An array of integers without nulls. pg's own reads it character by character. */
function parseIntegers(text: string): number[] {
  return text === '{}' ? [] : text.slice(1, -1).split(',').map(parseSafeInteger);
}

function parseSafeInteger(text: string): number {
  const value = Number(text);
  invariant(Number.isSafeInteger(value), `${text} is no safe integer`);
  return value;
}
