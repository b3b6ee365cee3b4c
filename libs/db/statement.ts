/** The hot statements: sql/NAME.sql, prepared once a connection under that name. */
import { readFileSync } from 'node:fs';
import pg from 'pg';
import type { CustomTypesConfig, QueryResultRow } from 'pg';
import { invariant } from '../core/invariant.ts';
import type { Database } from './client.ts';
import { isRetryable, toStoreError } from './pg-errors.ts';

export interface Statement {
  readonly name: string;
  readonly text: string;
}

const DEADLOCK_RETRIES = 5;

/** Loads sql/NAME.sql. Its header stays behind: pg_stat_activity shows only the first 1,024 bytes of a query. */
export function loadStatement(name: string): Statement {
  const text = readFileSync(new URL(`./sql/${name}.sql`, import.meta.url), 'utf8');
  return { name, text: `/* ${name} */ ${text.replace(/^(--.*\n)+/, '').trim()}` };
}

/**
 * Runs one statement, in a transaction of its own; a deadlock's victim is tried again at once, a few times.
 * @returns its rows
 * @throws StoreUnavailableError, StoreNotInitialisedError or InvalidInputError; anything else is a fault of ours
 */
export async function run<Row extends QueryResultRow>(
  db: Database,
  statement: Statement,
  values: unknown[],
): Promise<Row[]> {
  for (let retry = 0; ; retry++) {
    try {
      const { rows } = await db.query<Row>({ ...statement, values, types });
      return rows;
    } catch (error) {
      if (!isRetryable(error) || retry === DEADLOCK_RETRIES) throw toStoreError(error);
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
const defaultParser = pg.types.getTypeParser as (oid: number, format?: string) => (text: string) => unknown;

/** pg's own parsers, but a bigint is a number: ids and epochs are safe integers. */
const types = {
  getTypeParser: (oid: number, format?: string) =>
    oid === INT8 ? parseSafeInteger : defaultParser(oid, format),
} as CustomTypesConfig;

function parseSafeInteger(text: string): number {
  const value = Number(text);
  invariant(Number.isSafeInteger(value), `${text} is no safe integer`);
  return value;
}
