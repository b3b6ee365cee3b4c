import pg from 'pg';
import type { ClientBase } from 'pg';
import { toStoreError } from './pg-errors.ts';

/** What the stores run on: a pool, or in tests one connection. */
export type Database = pg.Pool | pg.Client;

export interface PoolOptions {
  /** postgres://user:password@host:port/database */
  readonly url: string;
  /** Shown by pg_stat_activity; for a worker, {@link workerApplicationName}. */
  readonly applicationName: string;
  /** Connections at most. */
  readonly size: number;
  /** How long a statement may take, connecting included; by default 15 s. */
  readonly statementTimeoutMs?: number;
  /** An idle connection broke: the server went away. Nothing to do, the next query connects again. */
  readonly onIdleError?: (error: Error) => void;
}

const CONNECT_TIMEOUT_MS = 5_000;
const STATEMENT_TIMEOUT_MS = 15_000;

/** On every session, where the server has the setting (transaction_timeout: Postgres 17). */
const sessionSettings = (statementTimeoutMs: number) => ({
  statement_timeout: statementTimeoutMs,
  // The statement timeout does not end a backend that hangs while sending to a client that no longer reads.
  transaction_timeout: statementTimeoutMs + 1_000,
  tcp_user_timeout: 10_000,
  idle_in_transaction_session_timeout: statementTimeoutMs,
  // Whatever the database's own default is: who has waited for a lock looks again at what he has waited for.
  default_transaction_isolation: 'read committed',
  plan_cache_mode: 'force_generic_plan',
  // Made while the tables were small, a plan is kept while they grow: never one that reads a table from end to end.
  enable_seqscan: 'off',
  // Before Postgres 18, reading a table from end to end where nothing else can be done counts as 10^10 then, and what costs so much
  // was compiled for each execution: 160 ms for the INSERT of one task (Postgres 15).
  jit: 'off',
});

/**
 * The application_name of all Postgres connections of one worker process, its keeper thread's included: by it
 * an acquirer finds the backends of a frozen process and ends them. `renew` records it with the lease.
 *
 * @param processId unique to the process, e.g. a UUID made at its start
 */
export function workerApplicationName(processId: string): string {
  // Postgres cuts names at 63 bytes; one cut would be found by nobody.
  return `worker ${processId}`.slice(0, 63);
}

/**
 * A pool whose connections end rather than hang: connecting, statements and transactions have deadlines, and an
 * error of an idle connection never ends the process. Close it with `end()`.
 */
export function createPool(options: PoolOptions): pg.Pool {
  const { statementTimeoutMs = STATEMENT_TIMEOUT_MS } = options;
  const settings = sessionSettings(statementTimeoutMs);
  const pool = new pg.Pool({
    connectionString: options.url,
    application_name: options.applicationName,
    max: options.size,
    connectionTimeoutMillis: Math.min(CONNECT_TIMEOUT_MS, statementTimeoutMs),
    // Should the server not even send its timeout's error.
    query_timeout: Math.ceil((statementTimeoutMs * 4) / 3),
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    // The pool awaits it, whatever its type says.
    onConnect: (client): unknown => applySettings(client, settings),
  });
  pool.on('error', (error) => options.onIdleError?.(error));
  return pool;
}

/** As a statement and not as startup parameters, which a pooling proxy may refuse. */
async function applySettings(client: ClientBase, settings: Record<string, string | number>): Promise<void> {
  await client.query(
    `SELECT set_config(name, v.value, false)
     FROM unnest($1::text[], $2::text[]) AS v (name, value) JOIN pg_settings USING (name)`,
    [Object.keys(settings), Object.values(settings).map(String)],
  );
}

/**
 * Runs `work` on one connection of its own, without deadlines for statements: for migrations and the like.
 * @throws what `work` throws, in the terms of stores.ts
 */
export async function withConnection<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'cluster-init',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  });
  // The query under way rejects as well; unheard, the event would end the process.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } catch (error) {
    throw toStoreError(error);
  } finally {
    await client.end();
  }
}

/** Runs `work` between BEGIN and COMMIT, or ROLLBACK where it throws; each of its statements sees what others have committed. */
export async function inTransaction<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query('BEGIN ISOLATION LEVEL READ COMMITTED');
  try {
    const result = await work();
    await client.query('COMMIT');
    return result;
  } catch (error) {
    // On a broken connection there is nothing left to roll back.
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}
