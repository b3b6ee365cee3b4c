import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootstrapTree } from '../../libs/cluster/bootstrap.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import { createTestDatabase } from '../../libs/testing/postgres.ts';
import { startTcpProxy } from '../../libs/testing/tcp-proxy.ts';
import type { TcpProxy } from '../../libs/testing/tcp-proxy.ts';
import { startTestZooKeeper } from '../../libs/testing/zookeeper.ts';
import type { TestZooKeeper } from '../../libs/testing/zookeeper.ts';
import type { AppUnderTest } from '../e2e/app-under-test.ts';
import { ClusterUnderTest } from '../e2e/cluster-under-test.ts';
import { Znodes } from './znodes.ts';

const FOREIGN = 'a-cluster-of-somebody-else';
const fatal = (app: AppUnderTest) => app.lines.filter(({ level }) => level === 'fatal').map(({ msg }) => msg);

describe('a database and a ZooKeeper of two clusters', () => {
  const closers: (() => Promise<void>)[] = [];
  let own: TestZooKeeper;
  let foreign: TestZooKeeper;
  let proxy: TcpProxy;
  let cluster: ClusterUnderTest;
  let znodes: Znodes;
  let waiting: number;
  beforeAll(async () => {
    own = await startTestZooKeeper({ tickTimeMs: 500 });
    closers.push(() => own.stop());
    foreign = await startTestZooKeeper({ tickTimeMs: 500 });
    closers.push(() => foreign.stop());
    proxy = await startTcpProxy(own.connectString);
    closers.push(() => proxy.close());
    cluster = await ClusterUnderTest.start({ workers: 2, zookeeperConnect: proxy.connectString });
    closers.push(() => cluster.stop());
    znodes = await Znodes.of(foreign.connectString, cluster.name);
    closers.push(() => znodes.close());
    await bootstrapTree(znodes.zk, znodes.paths, { uid: FOREIGN, partitions: 64 });
  });
  afterAll(async () => {
    for (const close of closers.reverse()) await close();
  });

  it('stop a worker and a cluster-init that are started, each in one line that names both', async () => {
    const astray = { ZOOKEEPER_CONNECT: foreign.connectString };
    const uid = await uidOf(cluster, own);
    const before = await cluster.view();
    for (const app of [cluster.startWorker('astray', astray), cluster.startInit(astray)]) {
      expect(await app.exit()).toBe(1);
      expect(fatal(app)).toEqual([expect.stringContaining(FOREIGN)]);
      expect(fatal(app)[0]).toContain(uid);
    }
    const empty = await createTestDatabase({ migrated: false });
    const init = cluster.startInit({ DATABASE_URL: empty.url });
    expect(await init.exit()).toBe(1);
    expect(fatal(init)).toEqual([expect.stringContaining('the database knows no cluster')]);
    await empty.drop();

    expect((await znodes.zk.getChildren(znodes.paths.live)).children).toEqual([]);
    expect(await uidOf(cluster, foreign)).toBe(FOREIGN);
    expect((await cluster.view()).partitions).toEqual(before.partitions);
  });

  it('stop running workers whose ZooKeeper has become another cluster’s, and nothing is claimed any more', async () => {
    proxy.retarget(foreign.connectString);
    proxy.cut();
    const swappedAtMs = Date.now();
    for (const name of ['worker-1', 'worker-2']) {
      const worker = cluster.app(name);
      expect(await worker.exit()).toBe(1);
      expect(fatal(worker)).toEqual([expect.stringContaining(FOREIGN)]);
    }
    console.log(`the workers ended after ${Date.now() - swappedAtMs} ms`);
    ({ id: waiting } = await cluster.submit({ name: 'nobody is there' }));
    await eventually(
      'the API tells that all workers are gone',
      async () => (await cluster.view()).workers.every(({ alive }) => !alive),
      { withinMs: 10_000 },
    );
    expect(await cluster.task(waiting)).toMatchObject({ status: 'PENDING', attempt: 0 });
    expect((await znodes.zk.getChildren(znodes.paths.live)).children).toEqual([]);
  });

  it('work again, once ZooKeeper is their own', async () => {
    proxy.retarget(own.connectString);
    proxy.cut();
    for (const name of ['worker-1', 'worker-2']) cluster.startWorker(name);
    // The one that was submitted while nobody was there.
    expect(await cluster.ended(waiting, 30_000)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    cluster.expectNoDoubleStarts();
  });
});

async function uidOf(cluster: ClusterUnderTest, server: TestZooKeeper): Promise<string> {
  const znodes = await Znodes.of(server.connectString, cluster.name);
  const { uid } = await znodes.meta();
  await znodes.close();
  return uid;
}
