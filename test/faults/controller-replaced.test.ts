import pg from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { startTcpProxy } from '../../libs/testing/tcp-proxy.ts';
import type { TcpProxy } from '../../libs/testing/tcp-proxy.ts';
import { startTestZooKeeper } from '../../libs/testing/zookeeper.ts';
import type { TestZooKeeper } from '../../libs/testing/zookeeper.ts';
import type { AppUnderTest } from '../e2e/app-under-test.ts';
import { ClusterUnderTest, FAILOVER_MS, SESSION_TIMEOUT_MS } from '../e2e/cluster-under-test.ts';
import { movedBetween } from '../e2e/moves.ts';
import { ClaimWitness } from './claim-witness.ts';
import { Znodes } from './znodes.ts';

const said = (app: AppUnderTest, text: string) => app.lines.filter(({ msg }) => msg.startsWith(text)).length;
/** ZooKeeper's number for a multi, at its place in a request. */
const isMulti = (piece: Buffer) => piece.length > 12 && piece.readInt32BE(8) === 14;

describe('the leading controller is replaced in the middle of its work', () => {
  const closers: (() => Promise<void>)[] = [];
  let zookeeper: TestZooKeeper;
  let proxy: TcpProxy;
  let cluster: ClusterUnderTest;
  let znodes: Znodes;
  let witness: ClaimWitness;
  let leader: AppUnderTest;
  let standby: AppUnderTest;
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  /** Two workers, controller-1, which leads through a network of its own, and controller-2. */
  async function start({ sessionTimeoutMs = SESSION_TIMEOUT_MS } = {}): Promise<void> {
    zookeeper = await startTestZooKeeper({ tickTimeMs: 500 });
    closers.push(() => zookeeper.stop());
    const network = await startTcpProxy(zookeeper.connectString);
    proxy = network;
    closers.push(() => network.close());
    cluster = await ClusterUnderTest.start({
      workers: 2,
      controllers: 0,
      zookeeperConnect: zookeeper.connectString,
      beforeWorkers: async (starting) => {
        leader = starting.startController('controller-1', {
          ZOOKEEPER_CONNECT: network.connectString,
          SESSION_TIMEOUT_MS: String(sessionTimeoutMs),
        });
        await eventually('controller-1 leads', () => said(leader, 'leading') > 0, { withinMs: 20_000 });
        standby = starting.startController('controller-2');
      },
    });
    closers.push(() => cluster.stop());
    znodes = await Znodes.of(zookeeper.connectString, cluster.name);
    closers.push(() => znodes.close());
    witness = await ClaimWitness.install(cluster.databaseUrl);
    closers.push(() => witness.close());
  }

  async function expectSound(): Promise<void> {
    expect(await witness.violations()).toEqual([]);
    cluster.expectNoDoubleStarts();
  }

  it('killed between revoke and grant: the standby finishes the move', async () => {
    await start();
    const before = await cluster.owners();
    // A release has to wait for the test, which holds the owner rows: the revoke stays unacknowledged.
    const holder = new pg.Client({ connectionString: cluster.databaseUrl });
    await holder.connect();
    await holder.query('BEGIN');
    await holder.query(`SELECT FROM partition_owner WHERE owner = 'worker-1' FOR SHARE`);

    cluster.startWorker('worker-3');
    const revoked = await eventually(
      'partitions are revoked from worker-1',
      async () => {
        const parts = Object.keys((await znodes.grants('worker-1'))?.revoked ?? {}).map(Number);
        return parts.length > 0 && parts;
      },
      { withinMs: 10_000 },
    );
    await leader.kill();
    const killedAtMs = Date.now();
    expect(revoked.length).toBeGreaterThanOrEqual(10);
    const { target, workers, epoch } = await znodes.plan();
    for (const partition of revoked) {
      expect(workers[target[partition] ?? -1]).toBe('worker-3');
      for (const worker of ['worker-1', 'worker-2', 'worker-3'])
        expect(Object.keys((await znodes.grants(worker))?.parts ?? {})).not.toContain(String(partition));
    }

    await eventually('controller-2 leads', () => said(standby, 'leading') > 0, { withinMs: 2 * FAILOVER_MS });
    expect(Date.now() - killedAtMs).toBeLessThanOrEqual(FAILOVER_MS);
    // Still nobody's: the new leader waits for the release as the old one did.
    for (const partition of revoked)
      expect((await znodes.grants('worker-3'))?.parts[partition]).toBeUndefined();
    await holder.query('COMMIT');
    await holder.end();
    expect(await cluster.balanced(3)).toEqual([21, 21, 22]);
    const moved = movedBetween(before, await cluster.owners());
    expect(moved).toHaveLength(21);
    expect(new Set(moved.map(({ to }) => to))).toEqual(new Set(['worker-3']));
    const granted = await znodes.grants('worker-3');
    for (const partition of revoked) expect(granted?.parts[partition]).toBe((epoch[partition] ?? 0) + 1);
    expect((await znodes.grants('worker-1'))?.revoked).toEqual({});
    await expectSound();
  });

  it('frozen, overtaken and woken: it writes nothing more and says that it leads no longer', async () => {
    await start();
    const { version: term } = await znodes.term();
    leader.signal('SIGSTOP');
    // It would have this to do as soon as it wakes.
    cluster.startWorker('worker-3');
    await eventually('controller-2 leads', () => said(standby, 'leading') > 0, { withinMs: 2 * FAILOVER_MS });
    expect(await cluster.balanced(3)).toEqual([21, 21, 22]);
    const before = await written(znodes);

    leader.signal('SIGCONT');
    await eventually('controller-1 has understood', () => said(leader, 'no longer leading') > 0, {
      withinMs: 5_000,
    });
    await eventually('and stands in line again', async () => (await candidates(znodes)) === 2, {
      withinMs: 10_000,
    });
    expect(await written(znodes)).toEqual(before);
    expect(await znodes.term()).toMatchObject({ version: term + 1, record: { leader: 'controller-2' } });
    expect([said(leader, 'leading'), said(leader, 'no longer leading')]).toEqual([1, 1]);
    expect(said(standby, 'no longer leading')).toBe(0);
    await expectSound();
  });

  it('overtaken while its write is on the way: the write is refused, though only the term stands against it', async () => {
    await start({ sessionTimeoutMs: 10_000 });
    const { version: term } = await znodes.term();
    const held = proxy.holdFrom(isMulti);
    cluster.startWorker('worker-3');
    await held;
    const before = await written(znodes);
    // Its session lives, and the plan is still the one it has read: PAUSED, the next leader changes nothing.
    await znodes.setMode({ mode: 'PAUSED' });
    const [first] = (await znodes.zk.getChildren(znodes.paths.election)).children.sort(bySequence);
    await znodes.zk.multi([
      { op: 'delete', path: znodes.paths.leader, version: -1 },
      { op: 'delete', path: `${znodes.paths.election}/${first ?? ''}`, version: -1 },
    ]);
    await eventually('controller-2 leads', () => said(standby, 'leading') > 0, { withinMs: 5_000 });
    expect(said(leader, 'no longer leading')).toBe(0);

    proxy.forward();
    await eventually('controller-1 has understood', () => said(leader, 'no longer leading') > 0, {
      withinMs: 5_000,
    });
    expect(await written(znodes)).toEqual(before);
    expect(await znodes.term()).toMatchObject({ version: term + 1, record: { leader: 'controller-2' } });
    expect(leader.lines.filter(({ msg }) => msg.includes('suspended'))).toEqual([]);
    await znodes.setMode({ mode: 'AUTO' });
    expect(await cluster.balanced(3)).toEqual([21, 21, 22]);
    await expectSound();
  });
});

const bySequence = (a: string, b: string) => Number(a.slice(-10)) - Number(b.slice(-10));

async function candidates({ zk, paths }: Znodes): Promise<number> {
  return (await zk.getChildren(paths.election)).children.length;
}

/** The last transactions that have changed the plan and anybody's grants. */
async function written({ zk, paths }: Znodes): Promise<Record<string, bigint>> {
  const { children } = await zk.getChildren(paths.grants);
  const all = [paths.plan, ...children.map((id) => paths.grantsOf(id))];
  const zxids = await Promise.all(
    all.map(async (path) => [path, (await zk.getData(path)).stat.mzxid] as const),
  );
  return Object.fromEntries(zxids);
}
