/** What ended long ago is removed, little by little, and nothing else. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DatabaseUnderTest } from '../testing/database-under-test.ts';
import type { WorkerUnderTest } from '../testing/database-under-test.ts';
import { createPool } from './client.ts';
import { loadStatement } from './statement.ts';
import type { AttemptEnd, RemovedFinished } from './stores.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** Kept for ten minutes, in passes of an hour. */
const KEPT = { keepMs: 10 * MINUTE_MS, passMs: HOUR_MS };
const ALL = { ...KEPT, span: 1_000_000, most: 1_000_000 };
type Stored = readonly [status: string, created: number, ended: number | null];
const FAILED: AttemptEnd = { kind: 'FAILED', error: 'enough' };

describe('the removal of what ended long ago', () => {
  let database: DatabaseUnderTest;
  let a: WorkerUnderTest;
  let epoch = 0;
  beforeAll(async () => {
    database = await DatabaseUnderTest.start();
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    a = await database.worker('a');
    await a.own([0, 1, 2, 3], ++epoch);
    await database.pool.query('UPDATE retention SET place = 0, begun_at = now()');
  });
  afterEach(async () => {
    await database.clear();
    await database.pool.query('DELETE FROM task_attempt');
  });

  const remove = async (more: Partial<typeof ALL> = {}, by = a) =>
    by.execution.removeFinished({ ...ALL, ...more });

  /** One a state: created that many minutes ago, and ended, where that is not null. */
  async function store(...tasks: Stored[]): Promise<number[]> {
    const { rows } = await database.pool.query<{ id: string }>(
      `INSERT INTO task (partition_id, status, attempt, name, payload, scheduled_at, due_at, created_at, completed_at)
       SELECT 0, status, 1, 'stored', 'null', now(), now(), now() - created * interval '1 minute',
              now() - ended * interval '1 minute'
       FROM unnest($1::text[], $2::float8[], $3::float8[]) WITH ORDINALITY AS t (status, created, ended, n)
       ORDER BY n RETURNING id`,
      [0, 1, 2].map((column) => tasks.map((task) => task[column])),
    );
    return rows.map(({ id }) => Number(id));
  }

  const stored = async (): Promise<number[]> => {
    const { rows } = await database.pool.query<{ id: string }>('SELECT id FROM task ORDER BY id');
    return rows.map(({ id }) => Number(id));
  };
  const attempts = async (): Promise<number[]> => {
    const { rows } = await database.pool.query<{ id: string }>(
      'SELECT task_id AS id FROM task_attempt ORDER BY 1',
    );
    return rows.map(({ id }) => Number(id));
  };
  const endedLongAgo = (ids: readonly number[]) =>
    database.pool.query(
      `UPDATE task SET created_at = now() - interval '1 hour', completed_at = now() - interval '11 minutes'
       WHERE id = ANY ($1) AND status <> 'PENDING'`,
      [ids],
    );

  it('takes what has ended, however it has, and keeps what is young, and what waits', async () => {
    const [, , , ...kept] = await store(
      ...([
        ['COMPLETED', 30, 11],
        ['FAILED', 30, 11],
        ['CANCELLED', 30, 11],
        ['COMPLETED', 30, 9],
        ['FAILED', 30, 9],
        ['CANCELLED', 30, 9],
        ['PENDING', 100_000, null],
      ] as const),
    );
    expect(await remove()).toMatchObject({ passed: 7, removed: 3, done: true });
    expect(await stored()).toEqual(kept);
  });

  it('takes the attempts of a task with it, and leaves those of others', async () => {
    const ids = (await database.submit(['x', 'y', 'z'])).map(({ id }) => id);
    await a.finish((await a.claim()).tasks, { kind: 'RETRY', delayMs: 0, error: 'again' });
    const tasks = (await a.claim()).tasks.toSorted((one, other) => one.id - other.id);
    const [x, y, z] = tasks;
    if (x === undefined || y === undefined || z === undefined) throw new Error('three were claimed');
    await a.finish([x], FAILED);
    await a.finish([y]);
    await a.finish([z], { kind: 'RETRY', delayMs: HOUR_MS, error: 'again' });
    expect(await attempts()).toEqual([x.id, x.id, y.id, z.id, z.id]);
    await endedLongAgo(ids);
    expect(await remove()).toMatchObject({ removed: 2 });
    expect(await attempts()).toEqual([z.id, z.id]);
    expect(await stored()).toEqual([z.id]);
  });

  it('keeps what runs, however long ago it was created, though others of its batch go', async () => {
    const [first, second] = await database.submit(['x', 'y'], { partition: 0 });
    const { tasks } = await a.claim();
    await a.finish(
      tasks.filter(({ id }) => id === first?.id),
      { kind: 'COMPLETED' },
      [],
    );
    await endedLongAgo(tasks.map(({ id }) => id));
    expect(await remove()).toMatchObject({ removed: 1 });
    expect(await database.tasks.get(second?.id ?? 0)).toMatchObject({ status: 'RUNNING', attempt: 1 });
    // The outcome of the one that is gone, written again: it was recorded. And the other's settles the record.
    expect(await a.finish(tasks)).toEqual(['recorded', 'recorded']);
    expect(await database.tasks.get(second?.id ?? 0)).toMatchObject({ status: 'COMPLETED' });
    expect(await database.records()).toEqual({});
  });

  it('keeps what was retried, and passes by what a user is about to retry without waiting for him', async () => {
    const [retried, beside] = await store(['FAILED', 30, 11], ['FAILED', 30, 11]);
    const user = await database.begin(a);
    expect(await user.tasks.retry(retried ?? 0)).toBe('retried');
    expect(await remove()).toMatchObject({ passed: 2, removed: 1 });
    await user.commit();
    expect(await remove()).toMatchObject({ removed: 0 });
    expect(await stored()).toEqual([retried]);
    expect(beside).toBeDefined();
    expect((await a.claim()).tasks).toMatchObject([{ id: retried, attempt: 2 }]);
  });

  it('holds up a user only until it is done, who then finds the task gone', async () => {
    const [id = 0] = await store(['FAILED', 30, 11]);
    const removal = await database.begin(a);
    expect(await remove({}, removal.worker)).toMatchObject({ removed: 1 });
    const b = await database.worker('b');
    const user = await database.begin(b);
    const retried = user.tasks.retry(id);
    await database.blocked(b);
    await removal.commit();
    expect(await retried).toBe('unknown');
  });

  it('holds up no claim', async () => {
    await store(['COMPLETED', 30, 11]);
    const { id } = await database.submitOne({ partition: 0 });
    const removal = await database.begin(a);
    expect(await remove({}, removal.worker)).toMatchObject({ removed: 1 });
    const { tasks } = await a.claim();
    expect(tasks).toMatchObject([{ id }]);
    expect(await a.finish(tasks)).toEqual(['recorded']);
  });

  it('is done by one call at a time', async () => {
    await store(['COMPLETED', 30, 11], ['COMPLETED', 30, 11]);
    const first = await database.begin(a);
    expect(await remove({ span: 1, most: 1 }, first.worker)).not.toBeNull();
    const b = await database.worker('b');
    expect(await remove({}, b)).toBeNull();
    await first.rollback();
    expect(await remove({}, b)).toMatchObject({ removed: 2 });
  });

  it('goes on where whoever called last has stopped, and passes by what waits once a pass', async () => {
    const ids = await store(
      ...([
        ['PENDING', 30, null],
        ['COMPLETED', 30, 11],
        ['PENDING', 30, null],
        ['COMPLETED', 30, 9],
        ['COMPLETED', 30, 11],
        ['COMPLETED', 5, 11],
        ['COMPLETED', 30, 11],
      ] as const),
    );
    const [first = 0] = ids;
    await database.pool.query('UPDATE retention SET place = $1', [first - 1]);
    const b = await database.worker('b');
    expect(await remove({ most: 2 }, a)).toMatchObject({ passed: 2, removed: 1, done: false });
    expect(await remove({ span: 1 }, b)).toMatchObject({ passed: 1, removed: 0, done: false });
    const { toGoMs } = (await remove({ most: 5 }, a)) as RemovedFinished;
    expect(toGoMs).toBeGreaterThanOrEqual(20 * MINUTE_MS);
    // The one after is young: nobody looks further, though this time something lies beyond.
    for (const by of [a, b]) expect(await remove({}, by)).toEqual({ ...NOTHING, done: true });
    expect(await stored()).toEqual([ids[0], ids[2], ids[3], ids[5], ids[6]]);
    // Once the pass has gone on for an hour it begins anew, and finds what had not ended long enough.
    await database.pool.query(`UPDATE retention SET begun_at = now() - interval '61 minutes'`);
    expect(await remove()).toEqual({ ...NOTHING, done: false });
    await database.pool.query(`UPDATE task SET completed_at = now() - interval '11 minutes' WHERE id = $1`, [
      ids[3],
    ]);
    expect(await remove()).toMatchObject({ passed: 3, removed: 1, done: true });
    expect(await stored()).toEqual([ids[0], ids[2], ids[5], ids[6]]);
  });

  it('goes by the database’s clock, which may have been set: late rather than early', async () => {
    // Ended, by a clock that was ahead; created by one that was ahead; a pass that began by one.
    const ids = await store(['COMPLETED', 30, -30], ['COMPLETED', -30, 11]);
    await database.pool.query(`UPDATE retention SET begun_at = now() + interval '1 hour'`);
    expect(await remove()).toMatchObject({ removed: 0, done: false });
    expect(await remove()).toMatchObject({ passed: 1, removed: 0, done: true });
    expect(await stored()).toEqual(ids);
  });

  it('comes to the end of a table that is empty', async () => {
    expect(await remove()).toMatchObject({ passed: 0, removed: 0, toGoMs: null, done: true });
  });

  const NOTHING = { passed: 0, removed: 0, toGoMs: null };
});

describe('what a call for the removal of old tasks costs', () => {
  const MANY = 50_000;
  const MOST = 500;
  let database: DatabaseUnderTest;
  let connection: ReturnType<typeof createPool>;
  beforeAll(async () => {
    database = await DatabaseUnderTest.start();
    connection = createPool({ url: database.url, applicationName: 'cost', size: 1 });
    const insert = (status: string, created: string, completed: string | null) =>
      database.pool.query(
        `INSERT INTO task (partition_id, status, attempt, name, payload, scheduled_at, due_at, created_at, completed_at)
         SELECT n % 4, $2, 1, 'x', '{}', now() + interval '1 year', now() + interval '1 year', now() - $3::interval,
                now() - $4::interval
         FROM generate_series(1, $1) AS n`,
        [MANY, status, created, completed],
      );
    await insert('PENDING', '9 days', null);
    await insert('COMPLETED', '9 days', '8 days');
    await insert('COMPLETED', '2 days', '1 day');
    await database.pool.query('VACUUM ANALYZE');
  });
  afterAll(async () => {
    await connection.end();
    await database.close();
  });

  /** Pages read and written by a call at `place`, with the product's settings and the plans it stays with. It changes nothing. */
  async function cost(place: number, { span = MOST, most = MOST } = {}): Promise<number> {
    const { text } = loadStatement('remove-finished');
    const args = [7 * 24 * HOUR_MS, HOUR_MS, span, most];
    const undone = async (statement: string) => {
      await connection.query('BEGIN');
      try {
        await connection.query(`UPDATE retention SET place = ${place}`);
        return (await connection.query<Record<string, unknown>>(statement, args)).rows;
      } finally {
        await connection.query('ROLLBACK');
      }
    };
    for (let call = 1; call < 8; call++) await undone(text);
    const [row] = await undone(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`);
    const [{ Plan: plan }] = row?.['QUERY PLAN'] as [{ Plan: Record<string, number> }];
    return (plan['Shared Hit Blocks'] ?? NaN) + (plan['Shared Read Blocks'] ?? NaN);
  }

  it('is bounded by what it may pass, whatever else there is', async () => {
    const waiting = await cost(0);
    const finished = await cost(MANY);
    const young = await cost(2 * MANY);
    // Tasks and their entries in the index stand side by side; those that go are locked and deleted one by one.
    expect(waiting).toBeLessThan(MOST / 5);
    expect(finished).toBeGreaterThan(MOST);
    expect(finished).toBeLessThan(6 * MOST);
    expect(young).toBeLessThan(MOST / 5);
    for (const [place, few] of [
      [0, waiting],
      [MANY, finished],
      [2 * MANY, young],
    ] as const)
      expect(await cost(place, { span: 10 ** 12 })).toBeLessThan(2 * few);
  });

  it('is bounded by the ids it may pass where a transaction keeps traces of what is gone', async () => {
    const holder = await database.begin(await database.worker('holder'));
    await holder.client.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    await holder.client.query('SELECT count(*) FROM task');
    await database.pool.query('DELETE FROM task WHERE id BETWEEN $1 AND $2', [MANY + 1, 2 * MANY]);
    const few = await cost(MANY);
    expect(few).toBeLessThan(MOST / 5);
    // Otherwise it would not be.
    expect(await cost(MANY, { span: 2 * MANY })).toBeGreaterThan(5 * few);
  });
});
