import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase } from '../testing/postgres.ts';
import type { TestDatabase } from '../testing/postgres.ts';
import { workerApplicationName } from './client.ts';
import { loadMigrations, migrate } from './migrate.ts';

const BEFORE = loadMigrations().filter(({ version }) => version < 6);

describe('a database of the build before payloads were json', () => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await createTestDatabase({ migrated: false });
    await migrate({ url: database.url, migrations: BEFORE });
    client = new pg.Client({ connectionString: database.url });
    await client.connect();
    await client.query(
      `INSERT INTO task (partition_id, name, payload, scheduled_at, due_at)
       VALUES (0, 'n', '{"b": [1.50, null], "a": "ö"}', '2024-01-01', '2024-01-01')`,
    );
  });
  afterEach(async () => {
    await client.end();
    await database.drop();
  });

  it('keeps payloads, and what others have made of the view of tasks', async () => {
    await client.query('CREATE VIEW report AS SELECT id, payload FROM task_state');
    await client.query('GRANT SELECT ON task_state TO public');
    await migrate({ url: database.url });
    const { rows } = await client.query(`SELECT payload FROM report WHERE payload @> '{"a": "ö"}'`);
    expect(rows).toEqual([{ payload: { a: 'ö', b: [1.5, null] } }]);
    const { rows: rights } = await client.query(
      `SELECT has_table_privilege('public', 'task_state', 'SELECT') AS readable,
              (SELECT pg_typeof(payload)::text FROM task) AS stored`,
    );
    expect(rights).toEqual([{ readable: true, stored: 'json' }]);
  });

  it('has its workers connect anew, who could not use what they have prepared', async () => {
    const worker = new pg.Client({
      connectionString: database.url,
      application_name: workerApplicationName('test'),
    });
    worker.on('error', () => undefined);
    await worker.connect();
    const ended = new Promise<void>((resolve) => worker.once('end', () => resolve()));
    await migrate({ url: database.url });
    await ended;
    expect((await client.query('SELECT FROM task')).rowCount).toBe(1);
  });
});
