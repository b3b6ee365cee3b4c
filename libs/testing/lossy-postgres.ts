import type { Pool } from 'pg';
import { createPool, workerApplicationName } from '../db/client.ts';
import { loadStatement } from '../db/statement.ts';
import { startTcpProxy } from './tcp-proxy.ts';

/** A way to Postgres on which the reply to a chosen statement gets lost: what it did stands, its caller hears nothing. */
export interface LossyPostgres {
  readonly url: string;
  readonly pool: Pool;
  /** Resolves when the next statement of that name (libs/db/sql/) has been answered, to nobody, and its connection cut. */
  loseReplyTo(statement: string): Promise<void>;
  close(): Promise<void>;
}

/** @param url of the database at the other end */
export async function openLossyPostgres(url: string): Promise<LossyPostgres> {
  const via = new URL(url);
  const proxy = await startTcpProxy(via.host);
  via.host = proxy.connectString;
  const pool = createPool({ url: via.href, applicationName: workerApplicationName('lossy'), size: 6 });
  return {
    url: via.href,
    pool,
    // Statements are prepared under their names: each request names the one it means.
    loseReplyTo(statement) {
      const { name } = loadStatement(statement);
      return proxy.dropReply((piece) => piece.includes(`${name}\0`));
    },
    async close() {
      await pool.end();
      await proxy.close();
    },
  };
}
