/** Serial tasks under load: nobody waits for one who waits for him, and a long line costs no more than a short one. */
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../testing/seeded-random.ts';
import { DatabaseUnderTest } from '../testing/database-under-test.ts';
import type { WorkerUnderTest } from '../testing/database-under-test.ts';
import { createPool } from './client.ts';
import type { Database } from './client.ts';
import { postgresExecutionStore } from './postgres-execution-store.ts';
import { postgresTaskStore } from './postgres-task-store.ts';
import type { AttemptEnd, ClaimedTask, NewTask } from './stores.ts';

const KEYS = ['k', 'l', 'line', 'line-0', 'x', 'y'];

describe('serial tasks', () => {
  let database: DatabaseUnderTest;
  let a: WorkerUnderTest;
  let epoch = 0;
  beforeAll(async () => {
    database = await DatabaseUnderTest.start();
  });
  afterAll(() => database.close());
  afterEach(() => database.clear());

  it(
    'submitted, claimed, ended, changed and taken away by many at once, never lock each other out, nor overlap',
    { timeout: 120_000 },
    async () => {
      const random = seededRandom(1);
      const pick = <T>(from: readonly T[]): T => from[Math.floor(random.next() * from.length)] as T;
      const pool = createPool({ url: database.url, applicationName: 'load', size: 12 });
      const deadlocks: string[] = [];
      const db = {
        async query(query: pg.QueryConfig) {
          try {
            return await pool.query(query);
          } catch (error) {
            if ((error as { code?: string }).code === '40P01') deadlocks.push(query.name ?? '');
            throw error;
          }
        },
      } as unknown as Database;
      const tasks = postgresTaskStore({ db });
      const execution = postgresExecutionStore({ db });
      a = await database.worker('a');
      await a.own([0, 1, 2, 3], ++epoch);

      const ids: number[] = [];
      let submitting = true;
      const drawTask = (): NewTask => ({
        name: 'load',
        ...pick([{ key: null }, { key: pick(KEYS), serial: true }, { key: pick(KEYS), serial: true }]),
        payload: null,
        scheduledAtMs: Date.now() - Math.floor(random.next() * 10_000),
        priority: pick([0, 0, 0, 5]),
      });
      const submit = async () => {
        for (let batch = 0; batch < 40; batch++)
          ids.push(...(await tasks.insert(Array.from({ length: 5 }, drawTask))).map(({ id }) => id));
      };
      const steer = async () => {
        while (submitting) {
          const id = ids.length > 0 ? pick(ids) : 0;
          await pick([
            () => tasks.cancel(id),
            () => tasks.remove(id),
            () => tasks.retry(id),
            () => tasks.run(id),
            () => tasks.patch(id, { scheduledAtMs: Date.now() - 5_000 }),
          ])();
        }
      };

      /** By key, what has been claimed and whose outcome has not been sent. */
      const running = new Map<string, ClaimedTask>();
      const overlaps: unknown[] = [];
      const keyOf = new Map<number, string | null>();
      const ends: AttemptEnd[] = [
        { kind: 'COMPLETED' },
        { kind: 'COMPLETED' },
        { kind: 'RETRY', delayMs: 0, error: 'again' },
        { kind: 'FAILED', error: 'enough' },
        { kind: 'HANDED_BACK' },
      ];
      const work = async () => {
        const request = { workerId: 'a', held: a.held, limit: 8 };
        for (;;) {
          const { tasks: claimed } = await execution.claim({ ...request, claimId: random.uuid() });
          if (claimed.length === 0 && !submitting) return;
          await learnKeys(claimed);
          for (const task of claimed) {
            const key = keyOf.get(task.id) ?? null;
            if (!task.serial || key === null) continue;
            const other = running.get(key);
            if (other !== undefined) overlaps.push({ key, other, task });
            running.set(key, task);
          }
          await new Promise((resolve) => setTimeout(resolve, Math.floor(random.next() * 5)));
          for (const [key, task] of running) if (claimed.includes(task)) running.delete(key);
          const outcomes = claimed.map((task) => a.outcome(task, pick(ends)));
          expect(await execution.finish(outcomes, claimed)).toEqual(claimed.map(() => 'recorded'));
        }
      };
      const learnKeys = async (claimed: readonly ClaimedTask[]) => {
        const { rows } = await pool.query<{ id: string; key: string | null }>(
          'SELECT id, key FROM task WHERE id = ANY ($1)',
          [claimed.map(({ id }) => id)],
        );
        for (const { id, key } of rows) keyOf.set(Number(id), key);
      };

      const submitted = Promise.all([submit(), submit(), submit()]).finally(() => (submitting = false));
      try {
        await Promise.all([submitted, steer(), steer(), work(), work(), work()]);
        // Who found nothing for a moment may have left while another handed back his last.
        await work();
      } finally {
        await pool.end();
      }
      expect(overlaps).toEqual([]);
      expect(deadlocks).toEqual([]);
      expect(ids).toHaveLength(600);
      const { rows } = await database.pool.query(
        `SELECT FROM task_state WHERE status IN ('PENDING', 'RUNNING')`,
      );
      expect(rows).toEqual([]);
      expect(await database.records()).toEqual({});
    },
  );

  describe('of which many wait in one line', () => {
    const MANY = 50_000;
    const buffers = async (text: string, values: unknown[]): Promise<number> => {
      const client = createPool({ url: database.url, applicationName: 'cost', size: 1 });
      try {
        const undone = async (sql: string) => {
          await client.query('BEGIN');
          const { rows } = await client.query<Record<string, unknown>>(sql, values);
          await client.query('ROLLBACK');
          return rows;
        };
        for (let call = 1; call < 8; call++) await undone(text);
        const [row] = await undone(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`);
        const [{ Plan: plan }] = row?.['QUERY PLAN'] as [{ Plan: Record<string, number> }];
        return (plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0);
      } finally {
        await client.end();
      }
    };
    const insertLine = (count: number) =>
      database.pool.query(
        `INSERT INTO task (partition_id, name, key, serial, blocked, payload, scheduled_at, due_at)
         SELECT 0, 'line', 'line', true, n > 1, 'null', t, t
         FROM (SELECT n, now() - interval '1 day' + n * interval '1 ms' AS t FROM generate_series(1, $1) AS n) AS l`,
        [count],
      );

    it('a claim reads one of them, and a turn is found without a look at the others', async () => {
      const costs: number[][] = [];
      for (const count of [2, MANY]) {
        await database.clear();
        await insertLine(count);
        await database.pool.query('VACUUM ANALYZE task');
        a = await database.worker('a');
        await a.own([0, 1, 2, 3], ++epoch);
        const [before] = (await a.claim()).tasks;
        const claim = `SELECT * FROM claim_tasks('{0}', $1, $2, '{null}', '{null}', '{null}', gen_random_uuid(), 'a', 500, '{}', false)`;
        const finish = `SELECT finish_tasks('{0}', $1, $2, '{1}', '{1}', '{0}', $3, 'a', '{}', '{}', '{}', '{}', '{0}')`;
        costs.push([
          await buffers(claim, [[epoch], [a.incarnation]]),
          await buffers(finish, [[before?.record], [before?.id], a.incarnation]),
        ]);
        expect(await a.finish([before as ClaimedTask])).toEqual(['recorded']);
        expect((await a.claim()).tasks).toHaveLength(1);
      }
      const [[claimFew = 0, finishFew = 0] = [], [claimMany = 0, finishMany = 0] = []] = costs;
      expect(claimMany).toBeLessThan(claimFew + 30);
      expect(finishMany).toBeLessThan(finishFew + 60);
    });
  });
});
