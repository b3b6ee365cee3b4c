/** Which statements a database spends its time on, by pg_stat_statements. For a profile: counting costs some time. */
import { execute } from './postgres.ts';

/** Settings a server needs for it. */
export const STATEMENT_SETTINGS = { shared_preload_libraries: 'pg_stat_statements' };

const TOP = 8;
const NAME_CHARS = 60;
const HERE = 'dbid = (SELECT oid FROM pg_database WHERE datname = current_database())';

interface Row {
  readonly query: string;
  readonly calls: string;
  readonly total_ms: number;
  readonly rows: string;
  readonly hit: string;
  readonly wal: string;
}

export async function resetStatements(url: string): Promise<void> {
  await execute(url, 'CREATE EXTENSION IF NOT EXISTS pg_stat_statements');
  await execute(url, 'SELECT pg_stat_statements_reset()');
}

/** How many there were in the database since, those of utilities (LISTEN, SET) too. */
export async function statements(url: string): Promise<number> {
  const [row] = (await execute(url, `SELECT sum(calls) AS calls FROM pg_stat_statements WHERE ${HERE}`)) as {
    calls: string;
  }[];
  return Number(row?.calls);
}

/** The statements that took longest, a line each. */
export async function longestStatements(url: string): Promise<string[]> {
  const rows = (await execute(
    url,
    `SELECT query, calls, total_exec_time AS total_ms, rows, shared_blks_hit AS hit, wal_bytes::bigint AS wal
     FROM pg_stat_statements WHERE ${HERE}
     ORDER BY total_exec_time DESC LIMIT $1`,
    [TOP],
  )) as Row[];
  return rows.map(({ query, calls, total_ms, rows, hit, wal }) => {
    const name = query.replaceAll(/\s+/g, ' ').slice(0, NAME_CHARS);
    return `  ${total_ms.toFixed(0)} ms in ${calls} calls, ${rows} rows, ${hit} buffers, ${wal} WAL bytes: ${name}`;
  });
}
