import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase } from '../testing/postgres.ts';
import type { TestDatabase } from '../testing/postgres.ts';
import { createPool, inTransaction, withConnection } from './client.ts';

describe('where the database has settings of its own', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    const name = new URL(database.url).pathname.slice(1);
    await withConnection(database.url, async (client) => {
      await client.query(`ALTER DATABASE ${name} SET default_transaction_isolation = 'repeatable read'`);
      await client.query(
        `ALTER ROLE CURRENT_USER IN DATABASE ${name} SET default_transaction_isolation = 'serializable'`,
      );
    });
  });
  afterAll(() => database.drop());

  const isolation = async (db: pg.Pool | pg.Client) =>
    (await db.query<{ level: string }>(`SELECT current_setting('transaction_isolation') AS level`)).rows;

  it('each statement of a pool sees what was committed before it, as the locks that it takes rely on', async () => {
    const beside = new pg.Client({ connectionString: database.url });
    await beside.connect();
    expect(await isolation(beside)).toEqual([{ level: 'serializable' }]);
    await beside.end();
    const pool = createPool({ url: database.url, applicationName: 'x', size: 1 });
    expect(await isolation(pool)).toEqual([{ level: 'read committed' }]);
    await pool.end();
  });

  it('so does each of a migration', async () => {
    const within = await withConnection(database.url, (client) =>
      inTransaction(client, () => isolation(client)),
    );
    expect(within).toEqual([{ level: 'read committed' }]);
  });

  it('no statement of a pool is compiled for each execution', async () => {
    await withConnection(database.url, (client) =>
      client.query(`ALTER DATABASE ${new URL(database.url).pathname.slice(1)} SET jit = on`),
    );
    const pool = createPool({ url: database.url, applicationName: 'x', size: 1 });
    expect((await pool.query(`SELECT current_setting('jit') AS jit`)).rows).toEqual([{ jit: 'off' }]);
    await pool.end();
  });
});
