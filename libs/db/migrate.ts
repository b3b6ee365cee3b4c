/**
 * Brings a database to the schema of this build: migrations/NNNN-name.sql, in order, each once; then functions/NAME.sql,
 * each in the form it has now. A function whose arguments or result change needs a migration that drops the old one. What is as usual is
 * stored without a function: a migration that is to keep earlier builds from storing has to take a column from sql/insert-usual.sql.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import type pg from 'pg';
import { invariant } from '../core/invariant.ts';
import { inTransaction, withConnection } from './client.ts';

export interface Migration {
  /** From 1, without gaps. */
  readonly version: number;
  /** The file's: `0001-task-scheduler`. */
  readonly name: string;
  readonly sql: string;
}

export interface SqlFunction {
  /** The file's and the function's. */
  readonly name: string;
  /** CREATE OR REPLACE */
  readonly sql: string;
}

/** The database's history and this build's do not fit. Nothing was changed. */
export class MigrationError extends Error {
  override name = 'MigrationError';
}

/** Of an advisory lock, which cluster-init holds while it changes the database. Any number nobody else takes. */
const CLUSTER_INIT_LOCK = 4_812_035_776;
const LOCK_TIMEOUT_MS = 60_000;

/**
 * Applies what is missing, each migration in a transaction of its own, under an advisory lock that other
 * callers wait for. Where there is nothing to do, nothing changes.
 *
 * @returns the names of those it applied
 * @throws MigrationError where an applied migration is not the one we know, or the database is newer than this build
 * @throws StoreUnavailableError where the database or, within a minute, the lock was not to be had
 */
export function migrate(options: {
  readonly url: string;
  readonly migrations?: readonly Migration[];
  readonly functions?: readonly SqlFunction[];
  readonly lockTimeoutMs?: number;
}): Promise<string[]> {
  const { url, migrations = loadMigrations(), lockTimeoutMs = LOCK_TIMEOUT_MS } = options;
  const functions = options.functions ?? (options.migrations === undefined ? loadFunctions() : []);
  return withConnection(url, async (client) => {
    const applied: string[] = [];
    for (const migration of migrations) {
      await inTransaction(client, async () => {
        await lockClusterInit(client, lockTimeoutMs);
        await stayInSchema(client);
        if (await isApplied(client, migration, migrations)) return;
        await client.query(migration.sql);
        await client.query('INSERT INTO schema_migration (version, name, checksum) VALUES ($1, $2, $3)', [
          migration.version,
          migration.name,
          checksum(migration.sql),
        ]);
        applied.push(migration.name);
      });
    }
    await inTransaction(client, async () => {
      if (functions.length === 0) return;
      await lockClusterInit(client, lockTimeoutMs);
      await stayInSchema(client);
      for (const { name, sql } of functions) if (await replaceFunction(client, name, sql)) applied.push(name);
    });
    return applied;
  });
}

/**
 * All is made where the tables are, or are to be: a role of the name `scheduler`, as in docker-compose.yml, would have its own schema
 * of that name come first from migration 0004 on, which makes it. For the transaction, as a proxy may give the next one another session.
 */
async function stayInSchema(client: pg.Client): Promise<void> {
  await client.query(
    `SELECT set_config('search_path', quote_ident(coalesce(
       (SELECT s.name FROM unnest(current_schemas(false)) WITH ORDINALITY AS s (name, ordinal)
        WHERE to_regclass(format('%I.schema_migration', s.name)) IS NOT NULL ORDER BY s.ordinal DESC LIMIT 1),
       current_schema())), true)`,
  );
}

/** Waits, at most `lockTimeoutMs` for this and every later lock, until no other cluster-init is at work. */
export async function lockClusterInit(client: pg.Client, lockTimeoutMs = LOCK_TIMEOUT_MS): Promise<void> {
  await client.query(`SELECT set_config('lock_timeout', $1, true)`, [String(lockTimeoutMs)]);
  await client.query('SELECT pg_advisory_xact_lock($1)', [CLUSTER_INIT_LOCK]);
}

async function isApplied(
  client: pg.Client,
  migration: Migration,
  known: readonly Migration[],
): Promise<boolean> {
  await client.query(
    `CREATE TABLE IF NOT EXISTS schema_migration (
       version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,
       applied_at timestamptz NOT NULL DEFAULT now()
     )`,
  );
  const { rows: history } = await client.query<{ version: number; name: string; checksum: string }>(
    'SELECT version, name, checksum FROM schema_migration ORDER BY version',
  );
  for (const { version, name, checksum: recorded } of history) {
    const ours = known.find((candidate) => candidate.version === version);
    if (ours === undefined) {
      throw new MigrationError(`the database is newer than this build: it has migration ${name}`);
    }
    if (ours.name !== name || checksum(ours.sql) !== recorded) {
      throw new MigrationError(
        `migration ${name} was applied to the database in another form than ${ours.name} has now`,
      );
    }
  }
  return history.some(({ version }) => version === migration.version);
}

/** Whether it was another before. */
async function replaceFunction(client: pg.Client, name: string, sql: string): Promise<boolean> {
  const { rows } = await client.query<{ comment: string | null }>(
    `SELECT obj_description(to_regproc($1), 'pg_proc') AS comment`,
    [name],
  );
  const comment = `libs/db/functions/${name}.sql, ${checksum(sql)}`;
  if (rows[0]?.comment === comment) return false;
  await client.query(sql);
  await client.query(`COMMENT ON FUNCTION ${name} IS '${comment}'`);
  return true;
}

/** The functions of this build. */
export function loadFunctions(directory = new URL('./functions/', import.meta.url)): SqlFunction[] {
  return readSqlFiles(directory);
}

/** The migrations of this build. */
export function loadMigrations(directory = new URL('./migrations/', import.meta.url)): Migration[] {
  return readSqlFiles(directory).map(({ name, sql }, index) => {
    const version = Number(/^(\d{4})-[a-z0-9-]+$/.exec(name)?.[1]);
    invariant(
      version === index + 1,
      `${name}.sql: migrations are NNNN-name.sql, numbered from 0001 without gaps`,
    );
    return { version, name, sql };
  });
}

/** Those of a directory, in the order of their names. */
function readSqlFiles(directory: URL): SqlFunction[] {
  const files = readdirSync(directory).filter((file) => file.endsWith('.sql'));
  return files.sort().map((file) => ({
    name: file.slice(0, -'.sql'.length),
    sql: readFileSync(new URL(file, directory), 'utf8'),
  }));
}

/** Of the text, whatever line ends a checkout gave it. */
function checksum(sql: string): string {
  return createHash('sha256').update(sql.replaceAll('\r\n', '\n')).digest('hex');
}
