import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase } from '../testing/postgres.ts';
import type { TestDatabase } from '../testing/postgres.ts';
import { createPool } from './client.ts';
import { loadStatement, run } from './statement.ts';

const peekDue = loadStatement('peek-due');

it('a statement’s name is of its text, which another build may have changed', () => {
  expect(peekDue.name).toMatch(/^peek-due [0-9a-f]{8}$/);
});

describe('a prepared statement, where a pooling proxy has changed the backend under the connection', () => {
  let database: TestDatabase;
  let db: ReturnType<typeof createPool>;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  beforeEach(() => {
    db = createPool({ url: database.url, applicationName: 'test', size: 1 });
  });
  afterEach(() => db.end());
  afterAll(() => database.drop());

  const peek = () => run(db, peekDue, [[0], [null], [null], [null], 1_000, [], [], false]);
  const prepared = async () => {
    const { rows } = await db.query<{ name: string }>('SELECT name FROM pg_prepared_statements');
    return rows.map(({ name }) => name);
  };

  it('is prepared once, where nothing changes', async () => {
    for (let i = 0; i < 2; i += 1) expect(await peek()).toHaveLength(1);
    expect(await prepared()).toEqual([peekDue.name]);
  });

  it('runs without its name from then on, where the backend does not know it', async () => {
    await peek();
    await db.query('DEALLOCATE ALL');
    for (let i = 0; i < 2; i += 1) expect(await peek()).toHaveLength(1);
    expect(await prepared()).toEqual([]);
  });

  it('and where a migration has changed what it returns', async () => {
    await db.query('CREATE TABLE changing (payload jsonb)');
    const read = () =>
      run(db, { name: 'read-changing', text: 'SELECT payload FROM changing' }, []).then(
        (rows) => rows.length,
      );
    expect(await read()).toBe(0);
    await db.query('ALTER TABLE changing ALTER COLUMN payload TYPE json');
    for (let i = 0; i < 2; i += 1) expect(await read()).toBe(0);
  });

  it('and where another statement has its name there', async () => {
    await db.query(`PREPARE "${peekDue.name}" AS SELECT 1`);
    for (let i = 0; i < 2; i += 1) expect(await peek()).toHaveLength(1);
  });
});
