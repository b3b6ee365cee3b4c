import { createHash } from 'node:crypto';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase } from '../testing/postgres.ts';
import type { TestDatabase } from '../testing/postgres.ts';
import { bootstrapDatabase } from './bootstrap.ts';
import { withConnection, workerApplicationName } from './client.ts';
import { loadFunctions, loadMigrations, migrate } from './migrate.ts';

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

describe('a role of the name `scheduler`, which has a schema of that name', () => {
  let database: TestDatabase;
  let client: pg.Client;
  let url: string;
  beforeEach(async () => {
    database = await createTestDatabase({ migrated: false });
    await asAdmin(
      `CREATE ROLE scheduler LOGIN PASSWORD 'secret'`,
      `ALTER DATABASE ${new URL(database.url).pathname.slice(1)} OWNER TO scheduler`,
    );
    url = Object.assign(new URL(database.url), { username: 'scheduler', password: 'secret' }).href;
    client = new pg.Client({ connectionString: url });
    await client.connect();
  });
  afterEach(async () => {
    await client.end();
    await asAdmin(
      'DROP OWNED BY scheduler CASCADE',
      `ALTER DATABASE ${new URL(database.url).pathname.slice(1)} OWNER TO current_user`,
      'DROP ROLE scheduler',
    );
    await database.drop();
  });

  const asAdmin = (...statements: string[]) =>
    withConnection(database.url, async (admin) => {
      for (const statement of statements) await admin.query(statement);
    });
  const inItsSchema = async () => {
    const { rows } = await client.query<{ name: string }>(
      `SELECT relname AS name FROM pg_class WHERE relnamespace = 'scheduler'::regnamespace
       UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'scheduler'::regnamespace`,
    );
    return rows.map(({ name }) => name);
  };
  const submit = () => client.query(`SELECT scheduler.submit_task('n', '{"a": 1}')`);

  it('has only the function for applications in it, however often cluster-init comes', async () => {
    for (let i = 0; i < 2; i++) {
      await migrate({ url });
      await bootstrapDatabase({ url, uid: 'uid-1', partitions: 4 });
    }
    expect(await inItsSchema()).toEqual(['submit_task']);
    await submit();
    expect((await client.query('SELECT FROM public.task')).rowCount).toBe(1);
  });

  it('finds its tasks again after a build that made half of its tables there', async () => {
    // As that build did it; when it came again, it failed at the second.
    const asBefore = async () => {
      for (const { version, name, sql } of BEFORE) {
        await client.query(
          'CREATE TABLE IF NOT EXISTS schema_migration (version integer PRIMARY KEY, name text, checksum text)',
        );
        const known = await client.query('SELECT FROM schema_migration WHERE version = $1', [version]);
        if (known.rowCount === 1) continue;
        await client.query(sql);
        const checksum = createHash('sha256').update(sql.replaceAll('\r\n', '\n')).digest('hex');
        await client.query('INSERT INTO schema_migration VALUES ($1, $2, $3)', [version, name, checksum]);
      }
    };
    await asBefore();
    for (const { sql } of loadFunctions()) await client.query(sql);
    await client.query(
      `INSERT INTO task (partition_id, name, payload, scheduled_at, due_at) VALUES (0, 'n', '1', now(), now())`,
    );
    await expect(asBefore()).rejects.toThrow('already exists');
    await migrate({ url });
    await bootstrapDatabase({ url, uid: 'uid-1', partitions: 4 });
    expect(await inItsSchema()).toEqual(['submit_task']);
    await submit();
    expect((await client.query('SELECT FROM task')).rowCount).toBe(2);
  });
});
