import { afterEach, describe, expect, it } from 'vitest';
import { RECONCILE_MS } from '../../apps/worker-node/reconciler.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import { createTestDatabase } from '../../libs/testing/postgres.ts';
import { ClusterUnderTest, FAILOVER_MS } from '../e2e/cluster-under-test.ts';
import { ClaimWitness } from './claim-witness.ts';
import { pgbouncerVersion, startPgbouncer } from './pgbouncer.ts';
import { percentile, SteadyLoad } from './steady-load.ts';

const version = await pgbouncerVersion();
const [major = 0, minor = 0] = version ?? [];
const tracksPrepared = major > 1 || (major === 1 && minor >= 21);

/** Far more than a look and the outcome of a cancelled attempt take, on a busy machine. */
const OUTCOME_MS = 1_000;

describe.skipIf(version === undefined)('through a transaction-pooling proxy', () => {
  const closers: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  it.each([
    ...(tracksPrepared ? [[100, 'that tracks prepared statements'] as const] : []),
    [tracksPrepared ? 0 : undefined, 'that knows nothing of prepared statements'] as const,
  ])(
    '(max_prepared_statements %s) %s, everything works but that polls take the place of LISTEN',
    async (max) => {
      const database = await createTestDatabase({ migrated: false });
      closers.push(() => database.drop());
      const proxy = await startPgbouncer(database.url, max);
      closers.push(() => proxy.stop());
      const cluster = await ClusterUnderTest.start({ workers: 2, databaseUrl: proxy.url });
      closers.push(() => cluster.stop());
      const witness = await ClaimWitness.install(database.url);
      closers.push(() => witness.close());

      const load = new SteadyLoad(cluster, 20);
      const failing = await cluster.submit({ name: 'demo', payload: { fail: 1 } });
      const cancelled = await cluster.submit({ name: 'demo', payload: { sleepMs: 60_000 } });
      await eventually('it runs', () => cluster.startsOf(cancelled.id).length === 1, { withinMs: 10_000 });
      expect((await cluster.request(`/tasks/${cancelled.id}`, { method: 'DELETE' })).status).toBe(202);
      await eventually(
        'it is gone',
        async () => (await cluster.request(`/tasks/${cancelled.id}`)).status === 404,
        { withinMs: RECONCILE_MS + OUTCOME_MS },
      );
      expect(await cluster.ended(failing.id, 10_000)).toMatchObject({ status: 'COMPLETED', attempt: 2 });

      cluster.startWorker('worker-3');
      expect(await cluster.balanced(3)).toEqual([21, 21, 22]);
      const running = await cluster.submitTo('worker-1', { name: 'demo', payload: { sleepMs: 2_000 } });
      await eventually('worker-1 runs it', () => cluster.startsOf(running.id).length === 1, {
        withinMs: 5_000,
      });
      const killedAtMs = Date.now();
      await cluster.app('worker-1').kill();
      const again = await eventually('it is started again', () => cluster.startsOf(running.id)[1], {
        withinMs: 2 * FAILOVER_MS,
      });
      expect(again.timeMs - killedAtMs).toBeLessThanOrEqual(FAILOVER_MS);
      await cluster.balanced(2);
      await load.stop();
      await eventually('everything was started', () => load.unstarted().length === 0, { withinMs: 5_000 });
      const latencies = load.latencies(0, killedAtMs - 2_000);
      console.log(
        `start after submission: median ${percentile(latencies, 50)} ms, p99 ${percentile(latencies, 99)} ms`,
      );
      // A poll a second.
      expect(percentile(latencies, 99)).toBeLessThan(1_600);
      for (const { lines } of cluster.apps.values())
        expect(lines.filter(({ level }) => ['error', 'fatal'].includes(level))).toEqual([]);
      expect(await witness.violations()).toEqual([]);
      cluster.expectNoDoubleStarts();
    },
  );
});
