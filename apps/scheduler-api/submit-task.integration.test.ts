import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestDatabase } from '../../libs/testing/postgres.ts';
import { createTestDatabase } from '../../libs/testing/postgres.ts';
import { bootstrap, connectBeside, startApi } from './testing/postgres-api.ts';

let database: TestDatabase;
let beside: pg.Client;
beforeAll(async () => {
  database = await createTestDatabase();
  await bootstrap(database.url);
});
afterAll(() => database.drop());

/** A body of POST /tasks as it would be said in SQL. */
async function submitInSql(body: Record<string, unknown>): Promise<{ id?: number; refused?: string }> {
  const named = Object.entries(body).map(([field, value], index) => {
    const argument = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    const json = argument === 'payload' || argument === 'backoff';
    return { text: `${argument} => $${index + 1}`, value: json ? JSON.stringify(value) : value };
  });
  try {
    const { rows } = await beside.query<{ id: string }>(
      `SELECT scheduler.submit_task(${named.map(({ text }) => text).join(', ')}) AS id`,
      named.map(({ value }) => value),
    );
    return { id: Number(rows[0]?.id) };
  } catch (error) {
    expect((error as { code?: string }).code).toBe('22023');
    return { refused: (error as Error).message };
  }
}

async function stored(id: number): Promise<Record<string, unknown>> {
  const { rows } = await beside.query<Record<string, unknown>>(
    `SELECT name, key, payload, status, policy, priority, tags, serial, scheduled_at - created_at AS wait, scheduled_at,
            partition_id = partition_of(coalesce(key, id::text), 8) AS in_its_partition
     FROM task WHERE id = $1`,
    [id],
  );
  const [row] = rows;
  if (row === undefined) throw new Error(`there is no task ${id}`);
  // By the clock, where neither says when.
  const { wait, scheduled_at, ...rest } = row;
  return {
    ...rest,
    when: Math.abs((wait as { days?: number }).days ?? 0) > 300 ? scheduled_at : wait,
  };
}

/** With 12 at the end: 256 KB, each of the first numbers being 309 digits as it is stored. */
const longNumbers = (last: number) => [
  ...Array.from({ length: 845 }, () => 1e308),
  ...Array.from({ length: 95 }, () => 1),
  last,
];
const nested = (levels: number) => JSON.parse('['.repeat(levels) + ']'.repeat(levels)) as unknown;

describe('scheduler.submit_task', () => {
  beforeAll(async () => {
    beside = new pg.Client({ connectionString: database.url });
    await beside.connect();
  });
  afterAll(() => beside.end());

  it.each<[string, Record<string, unknown>]>([
    ['a name', { name: 'x' }],
    [
      'everything',
      {
        ...{
          name: 'all',
          key: 'k',
          payload: { a: [1, null, 'x'] },
          priority: 9,
          maxAttempts: 100,
          timeoutMs: 2 ** 31 - 1,
        },
        ...{ backoff: { baseMs: 0, maxMs: 604_800_000, factor: 10 }, tags: ['x', 'y'], delay: 'PT1H30M' },
      },
    ],
    ['a serial task', { name: 'x', key: 'line', serial: true }],
    ['some of a backoff', { name: 'x', backoff: { factor: 1.5 } }],
    ['200 characters, each two code units', { name: '😀'.repeat(200), key: '😀'.repeat(200) }],
    ['a time with a fraction', { name: 'x', scheduledTime: '2031-02-03T04:05:06.0071Z' }],
    ['the last moment', { name: 'x', scheduledTime: '9999-12-31T23:59:59.999Z' }],
    ['weeks', { name: 'x', delay: 'P2W' }],
    ['a fraction of a millisecond', { name: 'x', delay: 'PT0.0001S' }],
    ['no delay', { name: 'x', delay: 'PT0S' }],
    ['a payload that is a string', { name: 'x', payload: '0' }],
    ['a payload of 256 KB', { name: 'x', payload: 'x'.repeat(256 * 1024 - 2) }],
    ['a payload of 256 KB as compact JSON', { name: 'x', payload: Array.from({ length: 131_071 }, () => 1) }],
    ['99 levels', { name: 'x', payload: nested(99) }],
    ['the largest number', { name: 'x', payload: [Number.MAX_VALUE, -Number.MAX_VALUE] }],
    ['256 KB of numbers, as they are stored', { name: 'x', payload: longNumbers(12) }],
  ])('stores what POST /tasks stores: %s', async (_, body) => {
    const { post } = await startApi(database.url);
    const response = await post(body);
    expect(response.status).toBe(201);
    const { id } = (await response.json()) as { id: number };
    const { id: sqlId = 0, refused } = await submitInSql(body);
    expect(refused).toBeUndefined();
    expect(await stored(sqlId)).toEqual(await stored(id));
  });

  it.each<[string, Record<string, unknown>]>([
    ['no name', { name: '' }],
    ['a name too long', { name: 'x'.repeat(201) }],
    ['an empty key', { name: 'x', key: '' }],
    ['a priority of 10', { name: 'x', priority: 10 }],
    ['a priority below 0', { name: 'x', priority: -1 }],
    ['a serial task without a key', { name: 'x', serial: true }],
    ['no attempt', { name: 'x', maxAttempts: 0 }],
    ['too many attempts', { name: 'x', maxAttempts: 101 }],
    ['no time', { name: 'x', timeoutMs: 0 }],
    ['too much time', { name: 'x', timeoutMs: 2 ** 31 }],
    ['a tag twice', { name: 'x', tags: ['a', 'a'] }],
    ['17 tags', { name: 'x', tags: Array.from({ length: 17 }, (__, n) => `t${n}`) }],
    ['an empty tag', { name: 'x', tags: [''] }],
    ['a month', { name: 'x', delay: 'P1M' }],
    ['too many days', { name: 'x', delay: 'P36501D' }],
    ['a delay and a time', { name: 'x', delay: 'PT1S', scheduledTime: '2030-01-01T00:00:00Z' }],
    ['a backoff below 0', { name: 'x', backoff: { baseMs: -1 } }],
    ['a backoff with a fraction', { name: 'x', backoff: { baseMs: 1.5 } }],
    ['a backoff in words', { name: 'x', backoff: { maxMs: 'long' } }],
    ['a factor below 1', { name: 'x', backoff: { factor: 0.5 } }],
    ['an unknown part of a backoff', { name: 'x', backoff: { other: 1 } }],
    ['a payload of a byte too much', { name: 'x', payload: 'x'.repeat(256 * 1024 - 1) }],
    ['the same as compact JSON', { name: 'x', payload: Array.from({ length: 131_072 }, () => 1) }],
    ['100 levels', { name: 'x', payload: nested(100) }],
    [
      'numbers that are long as they are stored',
      { name: 'x', payload: Array.from({ length: 1_000 }, () => 1e308) },
    ],
    ['a byte too much of them', { name: 'x', payload: longNumbers(123) }],
    ['a time that is rounded to the year 10000', { name: 'x', scheduledTime: '9999-12-31T23:59:59.9995Z' }],
    [
      'tags of tags',
      {
        name: 'x',
        tags: [
          ['a', 'b'],
          ['c', 'd'],
        ],
      },
    ],
    ['a member that vanishes', { name: 'x', payload: JSON.parse('{"a":[{"__proto__":1}]}') as unknown }],
  ])('refuses what POST /tasks refuses: %s', async (_, body) => {
    const { post } = await startApi(database.url);
    expect([400, 413]).toContain((await post(body)).status);
    expect(await submitInSql(body)).toEqual({ refused: expect.any(String) as string });
  });

  it('knows the first moment, which Postgres writes otherwise, and refuses what lies before', async () => {
    const submit = `SELECT scheduler.submit_task('x', scheduled_time => $1) AS id`;
    const first = await beside.query<{ id: string }>(submit, ['0001-01-01 00:00:00+00 BC']);
    expect((await stored(Number(first.rows[0]?.id)))['status']).toBe('PENDING');
    await expect(beside.query(submit, ['0002-12-31 23:59:59+00 BC'])).rejects.toMatchObject({
      code: '22023',
    });
    // As POST /tasks rounds.
    expect((await beside.query(submit, ['0002-12-31 23:59:59.9995+00 BC'])).rowCount).toBe(1);
    await expect(beside.query(`SELECT scheduler.submit_task('x', delay => '-1 second')`)).rejects.toThrow(
      'delay must not be negative',
    );
  });

  it('refuses a number that no double holds, and a time that never comes', async () => {
    for (const args of [
      `'x', '[1e400]'`,
      `'x', scheduled_time => 'infinity'`,
      `'x', delay => 'infinity'`,
      `NULL`,
    ])
      await expect(beside.query(`SELECT scheduler.submit_task(${args})`)).rejects.toMatchObject({
        code: '22023',
      });
  });

  it('is there when the application’s transaction commits, and its owner is told then', async () => {
    const listener = await connectBeside(database.url);
    const heard: (string | undefined)[] = [];
    listener.on('notification', ({ payload }) => heard.push(payload));
    await listener.query('LISTEN task_due');
    await beside.query('BEGIN');
    const { id = 0 } = await submitInSql({ name: 'mine' });
    const seen = async () => (await listener.query('SELECT FROM task WHERE id = $1', [id])).rowCount;
    expect([await seen(), heard]).toEqual([0, []]);
    await beside.query('COMMIT');
    expect(await seen()).toBe(1);
    expect(heard).toHaveLength(1);

    await beside.query('BEGIN');
    const undone = await submitInSql({ name: 'mine' });
    await beside.query('ROLLBACK');
    const { rowCount } = await listener.query('SELECT FROM task WHERE id = $1', [undone.id]);
    expect(rowCount).toBe(0);
  });

  it('needs no more than the use of its schema, whatever the caller’s search path', async () => {
    const role = `application_${process.pid}`;
    await beside.query(`CREATE ROLE ${role}`);
    try {
      await beside.query(`SET ROLE ${role}; SET search_path = pg_catalog`);
      await expect(beside.query(`SELECT scheduler.submit_task('x')`)).rejects.toThrow(/permission denied/);
      await beside.query(`RESET ROLE; GRANT USAGE ON SCHEMA scheduler TO ${role}; SET ROLE ${role}`);
      expect((await submitInSql({ name: 'x', key: 'k', serial: true })).id).toBeGreaterThan(0);
      await beside.query('CREATE TEMPORARY TABLE task (id bigint)').catch(() => undefined);
      expect((await submitInSql({ name: 'x' })).id).toBeGreaterThan(0);
      await expect(beside.query('SELECT FROM public.task')).rejects.toThrow(/permission denied/);
    } finally {
      await beside.query(`RESET ROLE; RESET search_path; DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  });
});
