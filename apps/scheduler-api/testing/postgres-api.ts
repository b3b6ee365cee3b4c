import pg from 'pg';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { bootstrapDatabase } from '../../../libs/db/bootstrap.ts';
import { createPool } from '../../../libs/db/client.ts';
import { postgresTaskStore } from '../../../libs/db/postgres-task-store.ts';
import { systemClock } from '../../../libs/runtime/system.ts';
import type { ApiLimits } from '../app.ts';
import { buildApp } from '../app.ts';

/** The API listening on a port of its own, over a real database; all of it ends with the test. */
export async function startApi(databaseUrl: string, limits: Partial<ApiLimits> = {}) {
  const pool = createPool({ url: databaseUrl, applicationName: 'scheduler-api', size: 4 });
  onTestFinished(() => pool.end());
  const log: string[] = [];
  const api = buildApp({
    store: postgresTaskStore({ db: pool }),
    clock: systemClock,
    logger: pino({ level: 'info' }, { write: (line: string) => void log.push(line) }),
    limits,
  });
  onTestFinished(() => api.close());
  const origin = await api.listen({ host: '127.0.0.1', port: 0 });
  return {
    api,
    origin,
    close: () => api.close(),
    messages: () => log.map((line) => (JSON.parse(line) as { msg: string }).msg),
    post: (body: unknown) =>
      fetch(`${origin}/tasks`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    get: (path: string) => fetch(`${origin}${path}`),
    remove: (path: string) => fetch(`${origin}${path}`, { method: 'DELETE' }),
  };
}

/** A connection beside the API's, to see and to do what others see and do. */
export async function connectBeside(databaseUrl: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'beside' });
  await client.connect();
  onTestFinished(() => client.end());
  return client;
}

export const PARTITIONS = 8;

/** What cluster-init leaves of a migrated database. */
export async function bootstrap(url: string): Promise<void> {
  await bootstrapDatabase({ url, uid: 'a-cluster', partitions: PARTITIONS });
}

/** Whether some session of this database waits for a lock of this type, as pg_locks names them. */
export async function isWaiting(beside: pg.Client, lockType: 'advisory' | 'relation'): Promise<boolean> {
  const { rows } = await beside.query(
    `SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = database
     WHERE datname = current_database() AND locktype = $1 AND NOT granted`,
    [lockType],
  );
  return rows.length > 0;
}
