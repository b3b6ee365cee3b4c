import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { startTcpProxy } from '../../libs/testing/tcp-proxy.ts';
import type { TcpProxy } from '../../libs/testing/tcp-proxy.ts';
import { startTestZooKeeper } from '../../libs/testing/zookeeper.ts';
import { ClusterUnderTest } from '../e2e/cluster-under-test.ts';
import { ClaimWitness } from './claim-witness.ts';
import { SteadyLoad } from './steady-load.ts';

const LOSSY_MS = 20_000;
/** Of the workers' requests to Postgres, one in so many is carried out and its connection cut in place of the reply. */
const ONE_IN = 25;
/** And so often every connection to ZooKeeper is cut. */
const CUT_EVERY_MS = 2_500;

describe('a network that loses replies, for twenty seconds', () => {
  const closers: (() => Promise<void>)[] = [];
  let toZooKeeper: TcpProxy;
  let toPostgres: TcpProxy;
  let cluster: ClusterUnderTest;
  let witness: ClaimWitness;
  beforeAll(async () => {
    const zookeeper = await startTestZooKeeper({ tickTimeMs: 500 });
    closers.push(() => zookeeper.stop());
    toZooKeeper = await startTcpProxy(zookeeper.connectString);
    closers.push(() => toZooKeeper.close());
    cluster = await ClusterUnderTest.start({
      workers: 3,
      controllers: 2,
      zookeeperConnect: toZooKeeper.connectString,
      workerEnv: async (databaseUrl) => {
        const via = new URL(databaseUrl);
        toPostgres = await startTcpProxy(via.host);
        closers.push(() => toPostgres.close());
        via.host = toPostgres.connectString;
        return { DATABASE_URL: via.href };
      },
    });
    closers.push(() => cluster.stop());
    witness = await ClaimWitness.install(cluster.databaseUrl);
    closers.push(() => witness.close());
  });
  afterAll(async () => {
    for (const close of closers.reverse()) await close();
  });

  it('and every task ends at its first attempt, started once', async () => {
    const load = new SteadyLoad(cluster, 20);
    const untilMs = Date.now() + LOSSY_MS;
    let requests = 0;
    let lost = 0;
    const isLost = () => Date.now() < untilMs && ++requests % ONE_IN === 0;
    const loseOneMore = () => {
      void toPostgres.dropReply(isLost).then(() => {
        lost += 1;
        loseOneMore();
      });
    };
    loseOneMore();
    while (Date.now() < untilMs) {
      await new Promise((resolve) => setTimeout(resolve, CUT_EVERY_MS));
      toZooKeeper.cut();
    }
    await load.stop();
    await eventually('everything was started', () => load.unstarted().length === 0, { withinMs: 20_000 });
    for (const id of load.ids()) {
      expect(await cluster.ended(id, 20_000)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    }
    expect(cluster.starts).toHaveLength(load.submitted);
    await cluster.balanced(3);
    console.log(
      `${load.submitted} tasks, ${lost} of ${requests} replies lost, worst start ${load.latencies(0, Infinity).at(-1)} ms`,
    );
    expect(lost).toBeGreaterThan(20);
    for (const name of ['controller-1', 'controller-2', 'worker-1', 'worker-2', 'worker-3'])
      expect([name, cluster.app(name).running]).toEqual([name, true]);
    expect(await witness.violations()).toEqual([]);
    cluster.expectNoDoubleStarts();
  });
});
