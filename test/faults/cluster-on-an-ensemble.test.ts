import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { hasDebianZooKeeper } from '../../libs/testing/real-servers.ts';
import { startDebianEnsemble } from '../../libs/testing/zookeeper/debian.ts';
import type { Ensemble, EnsembleMember } from '../../libs/testing/zookeeper/debian.ts';
import { ClusterUnderTest } from '../e2e/cluster-under-test.ts';
import { movedBetween } from '../e2e/moves.ts';
import { ClaimWitness } from './claim-witness.ts';
import { percentile, SteadyLoad } from './steady-load.ts';

const WITHOUT_QUORUM_MS = 8_000;

const available = await hasDebianZooKeeper();

describe.skipIf(!available)('a cluster on an ensemble of three real ZooKeepers', () => {
  const closers: (() => Promise<void>)[] = [];
  let ensemble: Ensemble;
  let cluster: ClusterUnderTest;
  let witness: ClaimWitness;
  let load: SteadyLoad;
  beforeAll(async () => {
    ensemble = await startDebianEnsemble(500);
    closers.push(() => ensemble.stop());
    cluster = await ClusterUnderTest.start({
      workers: 3,
      controllers: 2,
      zookeeperConnect: ensemble.members.map(({ connectString }) => connectString).join(','),
    });
    closers.push(() => cluster.stop());
    witness = await ClaimWitness.install(cluster.databaseUrl);
    closers.push(() => witness.close());
    load = new SteadyLoad(cluster, 20);
    closers.push(() => load.stop());
  });
  afterAll(async () => {
    for (const close of closers.reverse()) await close();
  });

  /** The member that leads. */
  const leader = (): Promise<EnsembleMember> =>
    eventually(
      'a leader',
      async () => {
        for (const member of ensemble.members) if ((await member.mode()) === 'leader') return member;
        return undefined;
      },
      { withinMs: 30_000 },
    );

  /** Does `fault` and waits until one more worker has been given exactly its share, and then stopped again. */
  async function through(what: string, fault: () => Promise<void>): Promise<void> {
    const before = await cluster.owners();
    const fromMs = Date.now();
    await fault();
    const name = `worker-after-${cluster.apps.size}`;
    const joining = cluster.startWorker(name);
    expect(await cluster.balanced(4, 40_000)).toEqual([16, 16, 16, 16]);
    const moved = movedBetween(before, await cluster.owners());
    expect(new Set(moved.map(({ to }) => to))).toEqual(new Set([name]));
    expect(moved).toHaveLength(16);
    joining.signal('SIGTERM');
    expect(await joining.exit()).toBe(0);
    await cluster.balanced(3, 20_000);
    const latencies = load.latencies(fromMs, Date.now() - 2_000);
    expect(latencies.at(-1)).toBeLessThan(2_000);
    console.log(
      `${what}: start after submission median ${percentile(latencies, 50)} ms, ` +
        `p99 ${percentile(latencies, 99)} ms, worst ${latencies.at(-1)} ms of ${latencies.length}`,
    );
    expect(await witness.violations()).toEqual([]);
    cluster.expectNoDoubleStarts();
  }

  it('handles tasks and rebalances while its leader is killed', async () => {
    const killed = await leader();
    await through('leader killed', () => killed.down());
    await killed.up();
  });

  it('handles tasks while the quorum is lost, and rebalances when it is regained', async () => {
    await through('quorum lost', async () => {
      const first = await leader();
      const lost = [first, ...ensemble.members.filter((member) => member !== first).slice(0, 1)];
      const lostAtMs = Date.now();
      await Promise.all(lost.map((member) => member.down()));
      await eventually('it has been lost for long', () => Date.now() - lostAtMs > WITHOUT_QUORUM_MS, {
        withinMs: 2 * WITHOUT_QUORUM_MS,
      });
      await Promise.all(lost.map((member) => member.up()));
    });
    for (const name of ['controller-1', 'controller-2', 'worker-1', 'worker-2', 'worker-3'])
      expect([name, cluster.app(name).running]).toEqual([name, true]);
  });
});
