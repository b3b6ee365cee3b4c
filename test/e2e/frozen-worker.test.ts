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

  it('holds nobody up when it is frozen while it claims tasks of 256 KB', async () => {
    cluster = await ClusterUnderTest.start({ workers: 2 });
    const here = cluster;
    const payload = 'x'.repeat(256 * 1024 - 2);
    const tasks = await Promise.all(
      Array.from({ length: 80 }, () =>
        here.submitTo('worker-1', { name: 'large', payload, scheduledTime: inMs(2_500) }),
      ),
    );
    await eventually('the first are being handled', () => here.starts.length > 0, {
      withinMs: 10_000,
      everyMs: 1,
    });
    here.app('worker-1').signal('SIGSTOP');
    const frozenAtMs = Date.now();
    for (const { id } of tasks) {
      await eventually(`task ${id} has ended`, async () => (await here.task(id)).status === 'COMPLETED', {
        withinMs: 3 * FAILOVER_MS,
      });
    }
    // Nothing waited for the frozen worker: what it had not finished, another started within the bound.
    for (const start of here.starts.filter(({ worker }) => worker === 'worker-2')) {
      expect(start.timeMs - frozenAtMs).toBeLessThanOrEqual(FAILOVER_MS + 1_000);
    }
    here.app('worker-1').signal('SIGCONT');
    await here.balanced(2);
    const next = await here.submitTo('worker-1', { name: 'after-the-freeze' });
    expect((await here.ended(next.id, 5_000)).status).toBe('COMPLETED');
    here.expectNoDoubleStarts();
  });
});

function inMs(ms: number): string {
  return new Date(Date.now() + ms).toISOString();
}
