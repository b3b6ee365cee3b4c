/** The one Postgres of a run: the project's embedded one, durable. */
import { join } from 'node:path';
import pg from 'pg';
import { startEmbeddedPostgres } from '../../libs/embedded/postgres.ts';

/** Printed with the results. */
const SETTINGS_OF_NOTE = [
  'synchronous_commit',
  'fsync',
  'wal_sync_method',
  'full_page_writes',
  'shared_buffers',
  'max_wal_size',
  'autovacuum',
];

export interface Written {
  readonly walBytes: number;
  readonly deadRows: number;
}

export interface BenchPostgres {
  /** The server's version and the settings that matter. */
  readonly description: string;
  /** Drops the database `name` if there is one, and creates it, a copy of `template` where that is given. */
  create(name: string, template?: string): Promise<string>;
  url(name: string): string;
  /** Brings a database that has just been filled to rest: vacuumed, analysed, its pages on disk. */
  settle(url: string): Promise<void>;
  /** What has been written so far: bytes of WAL by the whole server, and rows of this database made dead. */
  written(url: string): Promise<Written>;
  stop(): Promise<void>;
}

/** @param settings over the server's defaults */
export async function startPostgres(
  dir: string,
  settings: Readonly<Record<string, string>>,
  onFault: (reason: string) => void,
): Promise<BenchPostgres> {
  const server = await startEmbeddedPostgres({
    dataDir: join(dir, 'postgres'),
    settings: { synchronous_commit: 'on', log_checkpoints: 'off', ...settings },
    onUnexpectedExit: onFault,
  });
  const url = (name: string) => {
    const address = new URL(server.url);
    address.pathname = `/${name}`;
    return address.href;
  };
  return {
    description: await describe(server.url),
    url,
    async create(name, template = 'template0') {
      await execute(server.url, `DROP DATABASE IF EXISTS ${quoted(name)} WITH (FORCE)`);
      // A copy of the files: by way of the WAL, which is the default, a large template takes far longer.
      await execute(
        server.url,
        `CREATE DATABASE ${quoted(name)} TEMPLATE ${quoted(template)} STRATEGY file_copy`,
      );
      return url(name);
    },
    async settle(database) {
      await execute(database, 'VACUUM ANALYZE');
      await execute(database, 'CHECKPOINT');
    },
    async written(database) {
      const [row] = await execute(
        database,
        `SELECT pg_current_wal_lsn() - '0/0'::pg_lsn AS wal, sum(n_tup_upd + n_tup_del) AS dead
         FROM pg_stat_user_tables`,
      );
      const { wal, dead } = row as { wal: string; dead: string };
      return { walBytes: Number(wal), deadRows: Number(dead) };
    },
    stop: () => server.stop(),
  };
}

/** One statement on a connection of its own. */
export async function execute(url: string, sql: string, values: unknown[] = []): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url, application_name: 'bench' });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql, values)).rows;
  } finally {
    await client.end();
  }
}

async function describe(url: string): Promise<string> {
  const [version] = (await execute(url, 'SHOW server_version')) as { server_version: string }[];
  const settings = (await execute(
    url,
    'SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS name',
    [SETTINGS_OF_NOTE],
  )) as { name: string; value: string }[];
  const list = settings.map(({ name, value }) => `${name} ${value}`).join(', ');
  return `PostgreSQL ${version?.server_version ?? ''} (${list})`;
}

const quoted = (identifier: string) => `"${identifier.replaceAll('"', '""')}"`;
