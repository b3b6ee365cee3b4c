import pg from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { ClusterUnderTest, FAILOVER_MS } from './cluster-under-test.ts';

describe('a worker that is frozen past its session', () => {
  let cluster: ClusterUnderTest | undefined;
  afterEach(() => cluster?.stop());

  it('is replaced while frozen, and on waking commits nothing stale, rejoins and works again', async () => {
    cluster = await ClusterUnderTest.start({ workers: 2 });
    const here = cluster;
    const tasks = await Promise.all(
      Array.from({ length: 10 }, () =>
        here.submitTo('worker-1', { name: 'demo', payload: { sleepMs: 3_000 } }),
      ),
    );
    await eventually(
      'worker-1 runs them all',
      () => tasks.every(({ id }) => here.startsOf(id).length === 1),
      {
        withinMs: 5_000,
      },
    );
    here.app('worker-1').signal('SIGSTOP');
    const frozenAtMs = Date.now();
    await eventually(
      'worker-2 has started them all again',
      () => tasks.every(({ id }) => here.startsOf(id).length === 2),
      {
        withinMs: 2 * FAILOVER_MS,
      },
    );
    for (const { id } of tasks) {
      const second = here.startsOf(id)[1];
      expect(second).toMatchObject({ worker: 'worker-2', attempt: 2 });
      expect((second?.timeMs ?? Infinity) - frozenAtMs).toBeLessThanOrEqual(FAILOVER_MS);
    }
    // Woken while worker-2 is still running them: its own, older outcomes come first and must not count.
    here.app('worker-1').signal('SIGCONT');
    for (const { id } of tasks) {
      expect(await here.ended(id, 15_000)).toMatchObject({
        status: 'COMPLETED',
        attempt: 2,
        workerId: 'worker-2',
      });
    }
    await here.balanced(2);
    const next = await here.submitTo('worker-1', { name: 'after-the-freeze' });
    expect(await here.ended(next.id, 5_000)).toMatchObject({ status: 'COMPLETED', workerId: 'worker-1' });
    here.expectNoDoubleStarts();
  });

  it('in the middle of a claim of tasks of 256 KB: the claim it never saw is made good, and starts nothing late', async () => {
    cluster = await ClusterUnderTest.start({ workers: 2 });
    const here = cluster;
    const database = new pg.Client({ connectionString: here.databaseUrl });
    await database.connect();

    // The claim waits for the owner rows, which the test holds.
    await database.query('BEGIN');
    await database.query(`SELECT FROM partition_owner WHERE owner = 'worker-1' FOR NO KEY UPDATE`);
    const payload = 'x'.repeat(256 * 1024 - 2);
    const tasks = await Promise.all(
      Array.from({ length: 20 }, () => here.submitTo('worker-1', { name: 'large', payload })),
    );
    await eventually(
      'worker-1 is in the middle of a claim',
      async () => {
        const { rows } = await database.query(
          `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '/* claim-tasks */%' AND application_name LIKE 'worker %'`,
        );
        return rows.length > 0;
      },
      { withinMs: 5_000 },
    );
    here.app('worker-1').signal('SIGSTOP');
    const frozenAtMs = Date.now();
    await database.query('COMMIT');
    const taken = async () => {
      const views = await Promise.all(tasks.map(({ id }) => here.task(id)));
      return views.filter(({ status, workerId }) => status === 'RUNNING' && workerId === 'worker-1');
    };
    await eventually(
      'the claim is committed, and nobody has its reply',
      async () => (await taken()).length > 0,
      { withinMs: 3_000 },
    );
    // That look may have begun before the commit; this one sees all that was claimed.
    const claimed = await taken();

    await eventually(
      'worker-2 has started all of it',
      () => tasks.every(({ id }) => here.startsOf(id).some(({ worker }) => worker === 'worker-2')),
      { withinMs: 3 * FAILOVER_MS },
    );
    const last = Math.max(...here.starts.map(({ timeMs }) => timeMs));
    expect(last - frozenAtMs).toBeLessThanOrEqual(FAILOVER_MS);
    expect(new Set((await here.owners()).values())).toEqual(new Set(['worker-2']));
    for (const { id } of tasks) {
      const attempt = claimed.some((task) => task.id === id) ? 2 : 1;
      expect(await here.ended(id, 10_000)).toMatchObject({
        status: 'COMPLETED',
        attempt,
        workerId: 'worker-2',
      });
    }

    here.app('worker-1').signal('SIGCONT');
    await here.balanced(2);
    const next = await here.submitTo('worker-1', { name: 'after-the-freeze' });
    expect(await here.ended(next.id, 5_000)).toMatchObject({ status: 'COMPLETED', workerId: 'worker-1' });
    for (const { id } of tasks) {
      expect(here.startsOf(id).map(({ worker }) => worker)).toEqual(['worker-2']);
      expect(await here.task(id)).toMatchObject({ status: 'COMPLETED', workerId: 'worker-2' });
    }
    here.expectNoDoubleStarts();
    await database.end();
  });
});
