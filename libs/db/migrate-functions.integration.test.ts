import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase } from '../testing/postgres.ts';
import type { TestDatabase } from '../testing/postgres.ts';
import { withConnection } from './client.ts';
import { loadFunctions, migrate } from './migrate.ts';
import type { SqlFunction } from './migrate.ts';

/** `greet`, as one build or another has it. */
const greet = (text: string, args = ''): SqlFunction => ({
  name: 'greet',
  sql: `-- Greets.\nCREATE OR REPLACE FUNCTION greet(${args}) RETURNS text LANGUAGE sql\nAS $$ SELECT '${text}' $$;\n`,
});

describe('the functions of a build', () => {
  let database: TestDatabase;
  let url: string;
  beforeEach(async () => {
    database = await createTestDatabase({ migrated: false });
    url = database.url;
  });
  afterEach(() => database.drop());

  const query = async (text: string) =>
    withConnection(url, async (client) => (await client.query<Record<string, unknown>>(text)).rows);
  const replace = (...functions: SqlFunction[]) => migrate({ url, migrations: [], functions });
  const greeting = async () => (await query('SELECT greet() AS text'))[0]?.['text'];

  it('are each there once, as the files have them', async () => {
    await migrate({ url });
    const names = loadFunctions().map(({ name }) => name);
    expect(names).toContain('claim_tasks');
    const rows = await query(
      `SELECT CASE nspname WHEN 'public' THEN proname ELSE nspname || '.' || proname END AS name
       FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace
       WHERE obj_description(pg_proc.oid, 'pg_proc') LIKE 'libs/db/functions/%' ORDER BY 1`,
    );
    expect(rows.map(({ name }) => name).sort()).toEqual(names);
  });

  it('are replaced where they have changed, and left alone where not', async () => {
    expect(await replace(greet('hello'))).toEqual(['greet']);
    const before = await query(`SELECT xmin, oid FROM pg_proc WHERE proname = 'greet'`);
    expect(await replace(greet('hello'))).toEqual([]);
    expect(await query(`SELECT xmin, oid FROM pg_proc WHERE proname = 'greet'`)).toEqual(before);
    expect(await replace(greet('good day'))).toEqual(['greet']);
    expect(await greeting()).toBe('good day');
    expect(await replace(greet('good day'))).toEqual([]);
  });

  it('do not mind the line ends of a checkout', async () => {
    await replace(greet('hello'));
    const { name, sql } = greet('hello');
    expect(await replace({ name, sql: sql.replaceAll('\n', '\r\n') })).toEqual([]);
  });

  it('are replaced by several at once, once', async () => {
    const results = await Promise.all([1, 2, 3].map(() => replace(greet('hello'))));
    expect(results.flat()).toEqual(['greet']);
    const changed = await Promise.all([1, 2, 3].map(() => replace(greet('good day'))));
    expect(changed.flat()).toEqual(['greet']);
  });

  it('are all of one build: where one fails, none is replaced', async () => {
    await replace(greet('hello'));
    const broken = {
      name: 'broken',
      sql: 'CREATE FUNCTION broken() RETURNS text LANGUAGE sql RETURN no_such_thing',
    };
    await expect(replace(greet('good day'), broken)).rejects.toThrow('no_such_thing');
    expect(await greeting()).toBe('hello');
    expect(await replace(greet('good day'))).toEqual(['greet']);
  });

  it('with other arguments or another result are refused until a migration has dropped the former', async () => {
    await replace(greet('hello'));
    const { name, sql } = greet('good day');
    const others = [
      greet('good day', 'again boolean'),
      { name, sql: sql.replace('RETURNS text', 'RETURNS name') },
    ];
    for (const other of others) await expect(replace(other)).rejects.toThrow(/not unique|return type/);
    expect(await replace(greet('hello'))).toEqual([]);
    expect(await greeting()).toBe('hello');

    for (const [index, other] of others.entries()) {
      const drop = { version: index + 1, name: `000${index + 1}-drop`, sql: 'DROP FUNCTION greet' };
      const migrations = [...others.keys()]
        .slice(0, index)
        .map((n) => ({ ...drop, version: n + 1, name: `000${n + 1}-drop` }));
      const applied = await migrate({ url, migrations: [...migrations, drop], functions: [other] });
      expect(applied).toEqual([drop.name, 'greet']);
    }
    expect(await greeting()).toBe('good day');
  });

  it('are there at once for a connection that has prepared a call of the one before', async () => {
    await replace(greet('hello'));
    await withConnection(url, async (client) => {
      const call = async () =>
        (await client.query<{ text: string }>({ name: 'g', text: 'SELECT greet() AS text' })).rows;
      for (let time = 1; time <= 7; time++) expect(await call()).toEqual([{ text: 'hello' }]);
      await replace(greet('good day'));
      expect(await call()).toEqual([{ text: 'good day' }]);
    });
  });
});
