import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { startTcpProxy } from '../../libs/testing/tcp-proxy.ts';
import type { TcpProxy } from '../../libs/testing/tcp-proxy.ts';
import { startTestZooKeeper } from '../../libs/testing/zookeeper.ts';
import type { TestZooKeeper } from '../../libs/testing/zookeeper.ts';
import { ClusterUnderTest } from '../e2e/cluster-under-test.ts';
import { movedBetween } from '../e2e/moves.ts';
import { ClaimWitness } from './claim-witness.ts';
import { SteadyLoad } from './steady-load.ts';
import { Znodes } from './znodes.ts';

/** So high that epochs which start again at 1 are far below. */
const EPOCH_BEFORE = 1_000;

describe('ZooKeeper’s data is lost: an empty server answers at its address', () => {
  const closers: (() => Promise<void>)[] = [];
  let servers: TestZooKeeper[];
  let proxy: TcpProxy;
  let cluster: ClusterUnderTest;
  let witness: ClaimWitness;
  beforeAll(async () => {
    servers = [await startTestZooKeeper({ tickTimeMs: 500 }), await startTestZooKeeper({ tickTimeMs: 500 })];
    for (const server of servers) closers.push(() => server.stop());
    proxy = await startTcpProxy(servers[0]?.connectString ?? '');
    closers.push(() => proxy.close());
    cluster = await ClusterUnderTest.start({
      workers: 3,
      controllers: 2,
      zookeeperConnect: proxy.connectString,
    });
    closers.push(() => cluster.stop());
    witness = await ClaimWitness.install(cluster.databaseUrl);
    closers.push(() => witness.close());
  });
  afterAll(async () => {
    for (const close of closers.reverse()) await close();
  });

  it('and cluster-init restores it, epochs go on above the database’s, and no process is restarted', async () => {
    const uidBefore = await uidIn(servers[0], cluster.name);
    const load = new SteadyLoad(cluster, 20);
    await raiseEpochs(cluster, witness);
    const before = await cluster.owners();

    const wipedAtMs = Date.now();
    proxy.retarget(servers[1]?.connectString ?? '');
    proxy.cut();
    await eventually(
      'all have found out that the cluster’s znodes are gone',
      () =>
        ['controller-1', 'controller-2', 'worker-1', 'worker-2', 'worker-3'].every((name) =>
          cluster.app(name).lines.some(({ msg }) => msg.includes('waiting for cluster-init')),
        ),
      { withinMs: 30_000 },
    );
    const foundOutMs = Date.now() - wipedAtMs;
    expect(await cluster.startInit().exit()).toBe(0);
    const restoredAtMs = Date.now();
    expect(await uidIn(servers[1], cluster.name)).toBe(uidBefore);

    const epochs = new Map((await cluster.view()).partitions.map(({ id, epoch }) => [id, epoch]));
    await eventually(
      'every partition is owned under a higher epoch than before',
      async () =>
        (await cluster.view()).partitions.every(
          ({ id, owner, epoch }) => owner !== null && epoch > (epochs.get(id) ?? Infinity),
        ),
      { withinMs: 20_000 },
    );
    const ownedMs = Date.now() - restoredAtMs;
    expect(await cluster.balanced(3)).toEqual([21, 21, 22]);
    const after = await cluster.owners();
    cluster.startWorker('worker-4');
    expect(await cluster.balanced(4)).toEqual([16, 16, 16, 16]);
    expect(movedBetween(after, await cluster.owners())).toHaveLength(16);

    await load.stop();
    await eventually('everything was started', () => load.unstarted().length === 0, { withinMs: 5_000 });
    for (const name of ['api', 'controller-1', 'controller-2', 'worker-1', 'worker-2', 'worker-3'])
      expect([name, cluster.app(name).running]).toEqual([name, true]);
    expect(await witness.violations()).toEqual([]);
    cluster.expectNoDoubleStarts();
    console.log(
      `the loss was noticed by all after ${foundOutMs} ms; restored, all owned anew after ${ownedMs} ms, ` +
        `${movedBetween(before, after).length} by others; worst start in all ${load.latencies(0, Infinity).at(-1)} ms`,
    );
  });
});

async function uidIn(server: TestZooKeeper | undefined, cluster: string): Promise<string> {
  const znodes = await Znodes.of(server?.connectString ?? '', cluster);
  const { uid } = await znodes.meta();
  await znodes.close();
  return uid;
}

/**
 * As after a long life of the cluster: the database's epochs are far above those that ZooKeeper will begin with.
 * The owners find out by their next claims, and are granted their partitions anew above that.
 */
async function raiseEpochs(cluster: ClusterUnderTest, witness: ClaimWitness): Promise<void> {
  await witness.query(`UPDATE partition_owner SET epoch = epoch + ${EPOCH_BEFORE}`);
  const raised = new Map((await cluster.view()).partitions.map(({ id, epoch }) => [id, epoch]));
  await eventually(
    'all are owned again, above that',
    async () =>
      (await cluster.view()).partitions.every(({ id, epoch }) => epoch > (raised.get(id) ?? Infinity)),
    { withinMs: 30_000 },
  );
}
