/** Serial tasks that are submitted within an application's transaction: their lines are put in order as it commits. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DatabaseUnderTest } from '../testing/database-under-test.ts';
import type { OpenTransaction, WorkerUnderTest } from '../testing/database-under-test.ts';
import type { ClaimedTask } from './stores.ts';

/** Both in partition 0 of 4. */
const KEY = 'line';
const ANOTHER_KEY = 'line-1';
const REFUSED = { code: '22023', message: 'serial needs the isolation level READ COMMITTED' };

describe('serial tasks of a transaction that goes on', () => {
  let database: DatabaseUnderTest;
  let a: WorkerUnderTest;
  let open: OpenTransaction;
  let epoch = 0;
  beforeAll(async () => {
    database = await DatabaseUnderTest.start();
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    a = await database.worker('a');
    await a.own([0, 1, 2, 3], ++epoch);
    open = await begin();
  });
  afterEach(() => database.clear());

  const begin = async () => database.begin(await database.worker('application'));
  /** Submits one that was due so many seconds ago. */
  const submit = (name: string, secondsAgo: number, { client } = open, key = KEY) =>
    client.query(
      `SELECT scheduler.submit_task($1, key => $2, serial => true, scheduled_time => clock_timestamp() - $3 * interval '1 s')`,
      [name, key, secondsAgo],
    );
  /** Has stood there before. */
  const submitted = (name: string, secondsAgo: number) =>
    database.submitOne({ name, key: KEY, serial: true, scheduledAtMs: Date.now() - secondsAgo * 1_000 });
  const namesOf = (tasks: readonly ClaimedTask[]) => tasks.map(({ name }) => name);
  const claim = async () => (await a.claim()).tasks;
  /** Claims, ends what was claimed, and so on; what came one after the other. */
  async function drain(): Promise<string[][]> {
    const drained: string[][] = [];
    for (let tasks = await claim(); tasks.length > 0; tasks = await claim()) {
      drained.push(namesOf(tasks).sort());
      await a.finish(tasks);
    }
    return drained;
  }
  const leftBehind = async () => {
    const { rows } = await database.pool.query<{ transaction: string }>(
      'SELECT transaction FROM line_change UNION ALL SELECT transaction FROM line_commit',
    );
    return rows;
  };

  it('keep no claim waiting, and have their turns from the commit on', async () => {
    await submitted('head', 10);
    await submit('second', 20);
    await submit('first', 30);
    await submit('of another key', 5, open, ANOTHER_KEY);
    const running = await claim();
    expect(namesOf(running)).toEqual(['head']);
    await a.finish(running);
    await open.commit();
    expect(await drain()).toEqual([['first', 'of another key'], ['second']]);
    expect(await leftBehind()).toEqual([]);
  });

  it('wait at the commit for a claim under way, and for the task it has taken', async () => {
    await submitted('head', 10);
    await submit('first', 30);
    const claiming = await database.begin(a);
    const { tasks } = await claiming.worker.claim();
    const committed = open.commit();
    await database.blocked(open.worker);
    await claiming.commit();
    await committed;
    expect(await claim()).toEqual([]);
    await a.finish(tasks);
    expect(await drain()).toEqual([['first']]);
  });

  it('are gone, where that is undone', async () => {
    await submitted('head', 10);
    await submit('first', 30);
    await open.rollback();
    expect(await drain()).toEqual([['head']]);
  });

  it('have their turns where others of it are undone, be they earlier or later', async () => {
    const { client } = open;
    await client.query('SAVEPOINT earlier');
    await submit('undone', 40);
    await client.query('ROLLBACK TO earlier');
    await submit('first', 30);
    await client.query('SAVEPOINT later');
    await submit('undone too', 35);
    await submit('undone as well', 35, open, ANOTHER_KEY);
    await client.query('ROLLBACK TO later');
    await submit('second', 20);
    await open.commit();
    expect(await drain()).toEqual([['first'], ['second']]);
    expect(await leftBehind()).toEqual([]);
  });

  it('have them at once where constraints are immediate, and after that is undone at the commit again', async () => {
    const { client } = open;
    await submit('third', 10);
    await client.query('SAVEPOINT immediate');
    await client.query('SET CONSTRAINTS ALL IMMEDIATE');
    const heads = async () =>
      (await client.query<{ name: string }>('SELECT name FROM task WHERE NOT blocked')).rows;
    expect(await heads()).toEqual([{ name: 'third' }]);
    await submit('undone', 40);
    expect(await heads()).toEqual([{ name: 'undone' }]);
    await client.query('ROLLBACK TO immediate');
    expect(await heads()).toEqual([]);
    await client.query('SET CONSTRAINTS ALL IMMEDIATE');
    await submit('second', 20);
    expect(await heads()).toEqual([{ name: 'second' }]);
    await client.query('SET CONSTRAINTS ALL DEFERRED');
    await submit('first', 30);
    await open.commit();
    expect(await drain()).toEqual([['first'], ['second'], ['third']]);
    expect(await leftBehind()).toEqual([]);
  });

  it('of two at once are one line when both have committed', async () => {
    const another = await begin();
    await submit('third', 10);
    await submit('first', 30, another);
    await submit('second', 20);
    await submit('of another key', 5, another, ANOTHER_KEY);
    await open.commit();
    expect(namesOf(await claim())).toEqual(['second']);
    await another.commit();
    expect(await leftBehind()).toEqual([]);
    const heads = await database.pool.query(
      `SELECT name FROM task WHERE status = 'PENDING' AND NOT blocked ORDER BY name`,
    );
    expect(heads.rows).toEqual([{ name: 'of another key' }, { name: 'second' }]);
  });

  describe.each(['REPEATABLE READ', 'SERIALIZABLE'])('are refused at %s,', (level) => {
    beforeEach(async () => {
      await open.client.query(`ROLLBACK; BEGIN ISOLATION LEVEL ${level}`);
    });

    it('which would not show what others have left of their lines', async () => {
      await open.client.query(`SELECT scheduler.submit_task('x', key => 'k')`);
      await expect(submit('x', 0)).rejects.toMatchObject(REFUSED);
    });

    it('at the commit, where they were written otherwise', async () => {
      await open.client.query(
        `INSERT INTO task (partition_id, name, key, serial, blocked, payload, scheduled_at, due_at)
         VALUES (0, 'x', 'line', true, true, 'null', now(), now());
         INSERT INTO line_change VALUES (0, 'line');
         INSERT INTO line_commit DEFAULT VALUES`,
      );
      await expect(open.commit()).rejects.toMatchObject(REFUSED);
      expect((await database.pool.query('SELECT FROM task')).rowCount).toBe(0);
    });
  });

  it('are many, and the commit takes little beside what comes before it', { timeout: 120_000 }, async () => {
    const timed = async (text: string) => {
      const began = performance.now();
      await open.client.query(text);
      return performance.now() - began;
    };
    const submitting = await timed(
      `SELECT count(scheduler.submit_task('x', key => 'key-' || n, serial => true)) FROM generate_series(1, 20000) AS n`,
    );
    await open.client.query(
      `SELECT count(scheduler.submit_task('behind', key => 'key-' || n, serial => true)) FROM generate_series(1, 100) AS n`,
    );
    const committing = await timed('COMMIT');
    expect(committing).toBeLessThan(submitting / 3);
    const { rows } = await database.pool.query(
      `SELECT name, blocked, count(*)::integer AS tasks, count(DISTINCT key)::integer AS keys
       FROM task GROUP BY name, blocked ORDER BY name`,
    );
    expect(rows).toEqual([
      { name: 'behind', blocked: true, tasks: 100, keys: 100 },
      { name: 'x', blocked: false, tasks: 20_000, keys: 20_000 },
    ]);
    expect(await leftBehind()).toEqual([]);
  });
});
