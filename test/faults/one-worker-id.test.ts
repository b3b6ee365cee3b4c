import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { startTestZooKeeper } from '../../libs/testing/zookeeper.ts';
import type { AppUnderTest } from '../e2e/app-under-test.ts';
import { ClusterUnderTest, FAILOVER_MS } from '../e2e/cluster-under-test.ts';
import { movedBetween } from '../e2e/moves.ts';
import { ClaimWitness } from './claim-witness.ts';
import { Znodes } from './znodes.ts';

const IN_USE = /^worker id worker-1 is in use by a live worker/;
const refusals = (app: AppUnderTest) => app.lines.filter(({ level }) => level === 'fatal');

describe('two processes with one worker id', () => {
  const closers: (() => Promise<void>)[] = [];
  let cluster: ClusterUnderTest;
  let znodes: Znodes;
  let witness: ClaimWitness;
  beforeAll(async () => {
    const zookeeper = await startTestZooKeeper({ tickTimeMs: 500 });
    closers.push(() => zookeeper.stop());
    cluster = await ClusterUnderTest.start({ workers: 2, zookeeperConnect: zookeeper.connectString });
    closers.push(() => cluster.stop());
    znodes = await Znodes.of(zookeeper.connectString, cluster.name);
    closers.push(() => znodes.close());
    witness = await ClaimWitness.install(cluster.databaseUrl);
    closers.push(() => witness.close());
  });
  afterAll(async () => {
    for (const close of closers.reverse()) await close();
  });

  it('the second refuses to start, in one line, and the first goes on undisturbed', async () => {
    const before = await cluster.view();
    const [incarnation] = await znodes.incarnations('worker-1');
    const long = await cluster.submitTo('worker-1', { name: 'demo', payload: { sleepMs: 12_000 } });

    const second = cluster.startWorker('second', { WORKER_ID: 'worker-1' });
    const startedAtMs = Date.now();
    expect(await second.exit()).toBe(1);
    console.log(`the second gave up after ${Date.now() - startedAtMs} ms`);
    expect(refusals(second).map(({ msg }) => msg)).toEqual([expect.stringMatching(IN_USE)]);
    expect(cluster.starts.filter(({ worker }) => worker === 'second')).toEqual([]);
    expect(await znodes.incarnations('worker-1')).toEqual([incarnation]);
    expect((await cluster.view()).partitions).toEqual(before.partitions);
    expect(await cluster.ended(long.id, 10_000)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
  });

  it('the second takes over from a first that is frozen, which on waking does no harm and ends', async () => {
    const long = await cluster.submitTo('worker-1', { name: 'demo', payload: { sleepMs: 30_000 } });
    await eventually('the first runs it', () => cluster.startsOf(long.id).length === 1, { withinMs: 5_000 });
    cluster.app('worker-1').signal('SIGSTOP');
    const frozenAtMs = Date.now();
    const second = cluster.startWorker('second', { WORKER_ID: 'worker-1' });
    await eventually(
      'the second has joined',
      () => second.lines.some(({ msg }) => msg === 'joined the cluster'),
      {
        withinMs: 3 * FAILOVER_MS,
      },
    );
    const again = await eventually('what the first ran is run again', () => cluster.startsOf(long.id)[1], {
      withinMs: 3 * FAILOVER_MS,
    });
    expect(again.timeMs - frozenAtMs).toBeLessThanOrEqual(FAILOVER_MS);
    await cluster.balanced(2);
    const before = await cluster.owners();
    const incarnations = await znodes.incarnations('worker-1');
    const { rev } = await znodes.plan();

    const first = cluster.app('worker-1');
    first.signal('SIGCONT');
    const tasks = [];
    while (first.running) {
      tasks.push(await cluster.submitTo('worker-1', { name: 'meanwhile' }));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(await first.exit()).toBe(1);
    expect(refusals(first).map(({ msg }) => msg)).toEqual([expect.stringMatching(IN_USE)]);
    // Not for a moment was the first the newer of the two: nothing was planned anew, no epoch was minted.
    expect(await znodes.incarnations('worker-1')).toEqual(incarnations);
    expect((await znodes.plan()).rev).toBe(rev);
    expect(movedBetween(before, await cluster.owners())).toEqual([]);
    for (const { id } of tasks) {
      expect((await cluster.ended(id, 5_000)).status).toBe('COMPLETED');
      expect(cluster.startsOf(id).map(({ worker }) => worker)).toEqual(['second']);
    }
    expect(await cluster.ended(long.id, 40_000)).toMatchObject({ status: 'COMPLETED', attempt: 2 });
    expect(await witness.violations()).toEqual([]);
    cluster.expectNoDoubleStarts();
  });
});
