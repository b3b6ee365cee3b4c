import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { startTestZooKeeper } from '../../libs/testing/zookeeper.ts';
import type { TestZooKeeper } from '../../libs/testing/zookeeper.ts';
import { ClusterUnderTest } from '../e2e/cluster-under-test.ts';
import { movedBetween } from '../e2e/moves.ts';
import { ClaimWitness } from './claim-witness.ts';
import { percentile, SteadyLoad } from './steady-load.ts';

const OUTAGE_MS = 60_000;

describe('ZooKeeper is away for a minute', () => {
  const closers: (() => Promise<void>)[] = [];
  let zookeeper: TestZooKeeper;
  let cluster: ClusterUnderTest;
  let witness: ClaimWitness;
  beforeAll(async () => {
    zookeeper = await startTestZooKeeper({ tickTimeMs: 500 });
    closers.push(() => zookeeper.stop());
    cluster = await ClusterUnderTest.start({
      workers: 3,
      controllers: 2,
      zookeeperConnect: zookeeper.connectString,
    });
    closers.push(() => cluster.stop());
    witness = await ClaimWitness.install(cluster.databaseUrl);
    closers.push(() => witness.close());
  });
  afterAll(async () => {
    for (const close of closers.reverse()) await close();
  });

  it('and tasks are handled all the while; on its return nothing moves but what a new worker takes', async () => {
    const before = await cluster.owners();
    const load = new SteadyLoad(cluster, 20);
    await eventually('load is on', () => load.submitted > 200, { withinMs: 20_000 });

    const downAtMs = Date.now();
    await zookeeper.down();
    await eventually('a minute has passed', () => Date.now() - downAtMs >= OUTAGE_MS, {
      withinMs: OUTAGE_MS + 5_000,
      everyMs: 500,
    });
    const upAtMs = Date.now();
    expect(movedBetween(before, await cluster.owners())).toEqual([]);
    await zookeeper.up();
    await eventually(
      'a controller leads again',
      () => [...cluster.apps.values()].some(({ lines }) => lines.some(leadsSince(upAtMs))),
      { withinMs: 20_000 },
    );
    const ledAfterMs = Date.now() - upAtMs;
    await eventually('the workers are back', () => workersJoinedSince(cluster, upAtMs) === 3, {
      withinMs: 20_000,
    });
    const joinedAfterMs = Date.now() - upAtMs;
    expect(await cluster.balanced(3)).toEqual([21, 21, 22]);
    const after = await cluster.owners();

    cluster.startWorker('worker-4');
    expect(await cluster.balanced(4)).toEqual([16, 16, 16, 16]);
    const moved = movedBetween(after, await cluster.owners());
    expect(moved).toHaveLength(16);
    expect(new Set(moved.map(({ to }) => to))).toEqual(new Set(['worker-4']));
    await load.stop();
    await eventually('everything was started', () => load.unstarted().length === 0, { withinMs: 5_000 });

    const usual = load.latencies(0, downAtMs);
    const during = load.latencies(downAtMs, upAtMs);
    console.log(
      `start after submission: median ${percentile(usual, 50)} ms, p99 ${percentile(usual, 99)} ms; ` +
        `without ZooKeeper median ${percentile(during, 50)} ms, p99 ${percentile(during, 99)} ms, ` +
        `worst ${percentile(during, 100)} ms of ${during.length}; ` +
        `back: led after ${ledAfterMs} ms, all joined after ${joinedAfterMs} ms, ` +
        `moved by the outage: ${movedBetween(before, after).length}`,
    );
    expect(percentile(during, 50)).toBeLessThanOrEqual(Math.max(20, 3 * percentile(usual, 50)));
    expect(percentile(during, 99)).toBeLessThanOrEqual(Math.max(250, 3 * percentile(usual, 99)));
    expect(movedBetween(before, after)).toEqual([]);
    for (const app of cluster.apps.values())
      expect([app.name, app.name === 'cluster-init' || app.running]).toEqual([app.name, true]);
    expect(await witness.violations()).toEqual([]);
    cluster.expectNoDoubleStarts();
  });
});

const leadsSince =
  (sinceMs: number) =>
  ({ msg, timeMs }: { msg: string; timeMs: number }) =>
    msg.startsWith('leading') && timeMs >= sinceMs;

function workersJoinedSince(cluster: ClusterUnderTest, sinceMs: number): number {
  return [...cluster.apps.values()].filter(({ lines }) =>
    lines.some(({ msg, timeMs }) => msg === 'joined the cluster' && timeMs >= sinceMs),
  ).length;
}
