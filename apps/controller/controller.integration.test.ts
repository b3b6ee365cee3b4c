import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { ackCodec, leaderCodec, liveCodec, planCodec } from '../../libs/cluster/records.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import { startTcpProxy } from '../../libs/testing/tcp-proxy.ts';
import { startTestZooKeeper } from '../../libs/testing/zookeeper.ts';
import type { TestZooKeeper } from '../../libs/testing/zookeeper.ts';
import type { Snapshot } from './snapshot.ts';
import { ClusterUnderTest, grantsByPartition, isSettled, loads } from './testing/cluster-under-test.ts';
import type { RunningController } from './testing/cluster-under-test.ts';

const PARTITIONS = 64;
const WITHIN = { withinMs: 15_000 };

let server: TestZooKeeper;
let cluster: ClusterUnderTest;

beforeAll(async () => {
  server = await startTestZooKeeper({ shared: true });
});
afterAll(() => server.stop());
beforeEach(() => {
  cluster = new ClusterUnderTest({ connectString: server.connectString });
});
afterEach(() => cluster.close());

/** The first snapshot in which everything is granted, acknowledged, and as `expected` says. */
function settled(what: string, expected: (snapshot: Snapshot) => boolean): Promise<Snapshot> {
  return eventually(
    what,
    async () => {
      const snapshot = await cluster.snapshot();
      return isSettled(snapshot) && expected(snapshot) && snapshot;
    },
    WITHIN,
  );
}

const workersAre = (count: number) => (snapshot: Snapshot) =>
  snapshot.live.size === count && new Set(snapshot.plan.target).size === count;

async function leaderId(): Promise<string | undefined> {
  const { data } = await (await cluster.observer()).getData(cluster.paths.leader);
  return leaderCodec.decode(data, cluster.paths.leader).id;
}

/** Whether this is a request of that type, behind its length and number. */
const isMulti = (piece: Buffer) => piece.length >= 12 && piece.readInt32BE(8) === 14;

/** Partitions whose grant is another than before. */
function changed(before: Snapshot, after: Snapshot): number[] {
  const old = grantsByPartition(before);
  return grantsByPartition(after).flatMap((grant, partition) =>
    grant === old[partition] ? [] : [partition],
  );
}

describe('a controller', () => {
  it('shares partitions exactly, and moves no more of them than it must', async () => {
    await cluster.initialise(PARTITIONS);
    const controller = await cluster.startController('c1');
    const workers = await Promise.all(['w1', 'w2', 'w3'].map((id) => cluster.join(id)));
    const three = await settled('three workers share', workersAre(3));
    expect(Object.values(loads(three)).sort()).toEqual([21, 21, 22]);
    // Workers that start together share in one go: nothing was granted twice.
    expect(new Set(three.plan.epoch)).toEqual(new Set([1]));

    await cluster.join('w4');
    const four = await settled('a fourth has its share', workersAre(4));
    expect(Object.values(loads(four))).toEqual([16, 16, 16, 16]);
    const movedToFourth = changed(three, four);
    expect(movedToFourth).toHaveLength(16);
    expect(movedToFourth.every((p) => four.plan.target[p] === 'w4' && four.plan.epoch[p] === 2)).toBe(true);

    await workers[1]?.leave();
    const left = await settled('the orphans of one that left are placed', workersAre(3));
    expect(changed(four, left)).toEqual(
      four.plan.target.flatMap((worker, partition) => (worker === 'w2' ? [partition] : [])),
    );

    expect(controller.log.filter((line) => line.startsWith('assigned: '))).toEqual([
      expect.stringMatching(/^assigned: 64 partitions over 3 workers: w1 2\d, w2 2\d, w3 2\d; 64 moved$/),
      'assigned: 64 partitions over 4 workers: w1 16, w2 16, w3 16, w4 16; 16 moved',
      expect.stringMatching(/^assigned: 64 partitions over 3 workers: w1 2\d, w3 2\d, w4 2\d; 16 moved$/),
    ]);
  });

  it('grants a worker its own again, at higher epochs, when it comes back as another incarnation', async () => {
    await cluster.initialise(8);
    await cluster.startController('c1');
    await cluster.join('a');
    await cluster.join('b');
    const before = await settled('two share', workersAre(2));
    // The old session has not ended yet: of two live nodes of one id the newer counts.
    const again = await cluster.join('a');
    const after = await settled('it has its own again', ({ live }) => live.get('a') === again.incarnation);
    expect(after.plan.target).toEqual(before.plan.target);
    after.plan.epoch.forEach((epoch, partition) => {
      const grown = after.plan.target[partition] === 'a' ? 1 : 0;
      expect(epoch).toBe((before.plan.epoch[partition] ?? 0) + grown);
    });
  });

  it('waits for the release of what it revoked before it grants it anew', async () => {
    await cluster.initialise(8);
    await cluster.startController('c1');
    const a = await cluster.join('a');
    await settled('one has all', workersAre(1));
    a.holdOn();
    await cluster.join('b');
    const revoked = await eventually(
      'the revoke is seen, and not followed',
      async () => {
        const snapshot = await cluster.snapshot();
        const rev = snapshot.grants.get('a')?.rev;
        return snapshot.plan.target.includes('b') && snapshot.acks.get('a')?.rev === rev && snapshot;
      },
      WITHIN,
    );
    expect(Object.keys(revoked.grants.get('a')?.revoked ?? {})).toHaveLength(4);
    expect(loads(revoked)).toEqual({ a: 4, b: 0 });
    a.letGo();
    const after = await settled('they are granted anew', workersAre(2));
    expect(loads(after)).toEqual({ a: 4, b: 4 });
  });

  it('waits no longer than it has to for one that never releases', async () => {
    await cluster.initialise(8);
    const controller = await cluster.startController('c1', { releaseMs: 300 });
    const a = await cluster.join('a');
    await settled('one has all', workersAre(1));
    a.holdOn();
    await cluster.join('b');
    const after = await settled('they are granted all the same', workersAre(2));
    expect(loads(after)).toEqual({ a: 4, b: 4 });
    expect(controller.log).toContainEqual(expect.stringMatching(/^4 partitions were not released within/));
  });

  it('mints past the database where it refuses a grant', async () => {
    await cluster.initialise(1);
    await cluster.startController('c1');
    const zk = await cluster.connect();
    const ackPath = cluster.paths.ackOf('a', 'i1');
    const ack = { rev: 1, owned: {}, releasing: [], fenced: { 0: 37 } };
    await zk.create(ackPath, ackCodec.encode(ack), 'EPHEMERAL');
    const live = liveCodec.encode({ host: 'localhost', pid: 1, version: 'test' });
    await zk.create(cluster.paths.liveInstance('a', 'i1'), live, 'EPHEMERAL');
    // Both, as they are not read at one time.
    await eventually(
      'a grant above the database, and a plan that says so',
      async () => {
        const { grants, plan } = await cluster.snapshot();
        return grants.get('a')?.parts[0] === 38 && plan.epoch[0] === 38;
      },
      WITHIN,
    );
  });

  it('forgets workers that have been gone for long', async () => {
    await cluster.initialise(8);
    await cluster.startController('c1', { retireMs: 200 });
    await cluster.join('a');
    const b = await cluster.join('b');
    await settled('two share', workersAre(2));
    await b.leave();
    await settled('one has all', workersAre(1));
    await eventually('its grants are gone', async () => !(await cluster.snapshot()).grants.has('b'), WITHIN);
    const { data } = await (await cluster.observer()).getData(cluster.paths.plan);
    expect(planCodec.decode(data, cluster.paths.plan).workers).toEqual(['a']);
  });

  it('goes on where the reply to what it published is lost, and grants nothing twice', async () => {
    const network = await startTcpProxy(server.connectString);
    onTestFinished(() => network.close());
    await cluster.initialise(8);
    const controller = await cluster.startController('c1', {}, network.connectString);
    await eventually('it leads', () => controller.log.includes('leading'), WITHIN);
    const isPublish = (piece: Buffer) => isMulti(piece) && piece.includes(cluster.paths.plan);
    const lost = network.dropReply(isPublish);
    await cluster.join('a');
    await lost;
    const one = await settled('one has all', workersAre(1));
    expect(grantsByPartition(one)).toEqual(Array(8).fill('a@1'));

    const lostAgain = network.dropReply(isPublish);
    await cluster.join('b');
    await lostAgain;
    const two = await settled('two share', workersAre(2));
    expect(loads(two)).toEqual({ a: 4, b: 4 });
    expect(changed(one, two).map((p) => two.plan.epoch[p])).toEqual([2, 2, 2, 2]);
    // With its connection it lost the lead, twice.
    expect(controller.log.filter((line) => line === 'leading')).toHaveLength(3);
  });

  it('waits for cluster-init, says so once, and goes on when it has been', async () => {
    const controller = await cluster.startController('c1');
    await eventually('it says what is missing', () => controller.log.length > 0, WITHIN);
    expect(controller.log).toEqual([`${cluster.paths.meta} is missing: waiting for cluster-init`]);
    await cluster.initialise(8);
    await cluster.join('a');
    await settled('it leads', workersAre(1));
    expect(controller.log.filter((line) => line.includes('is missing'))).toHaveLength(1);
  });
});

describe('controllers', () => {
  it('take over from one another in the middle of a move', async () => {
    await cluster.initialise(8);
    const leader = await cluster.startController('c1');
    const a = await cluster.join('a');
    await settled('one has all', workersAre(1));
    await cluster.startController('c2');
    a.holdOn();
    await cluster.join('b');
    await eventually(
      'the move has begun',
      async () => Object.keys((await cluster.snapshot()).grants.get('a')?.revoked ?? {}).length === 4,
      WITHIN,
    );
    // Killed: its session ends without a word from it.
    await leader.zk.close();
    await eventually('the standby leads', async () => (await leaderId()) === 'c2', WITHIN);
    expect(loads(await cluster.snapshot())).toEqual({ a: 4, b: 0 });
    a.letGo();
    const after = await settled('the move is finished', workersAre(2));
    expect(loads(after)).toEqual({ a: 4, b: 4 });
    expect([...after.plan.epoch].sort()).toEqual([1, 1, 1, 1, 2, 2, 2, 2]);
  });

  it('say once that they lead, and once that they do so no longer, even where nobody tells them', async () => {
    const network = await startTcpProxy(server.connectString);
    onTestFinished(() => network.close());
    await cluster.initialise(8);
    const leader = await cluster.startController('c1', {}, network.connectString);
    await cluster.join('a');
    await settled('one has all', workersAre(1));
    const standby = await cluster.startController('c2');

    network.blackHole();
    await eventually('the standby leads', async () => (await leaderId()) === 'c2', WITHIN);
    await eventually('the leader that was knows', () => leader.log.includes('no longer leading'), WITHIN);
    network.forward();
    const zk = await cluster.observer();
    const candidates = async () => (await zk.getChildren(cluster.paths.election)).children;
    await eventually('it stands by', async () => (await candidates()).length === 2, WITHIN);
    await leader.stop();
    await standby.stop();

    const said = ({ log }: RunningController) => log.filter((line) => /lead|elect/.test(line));
    expect(said(leader)).toEqual(['leading', 'no longer leading']);
    expect(said(standby)).toEqual(['leading', 'no longer leading']);
  });
});

describe('a controller to which no watch fires', () => {
  it('sees all the same, within a look, that one worker has gone and another come', async (context) => {
    const own = await startTestZooKeeper();
    cluster = new ClusterUnderTest({ connectString: own.connectString });
    try {
      if (own.faults === undefined) return context.skip('needs fault controls');
      await cluster.initialise(8);
      await cluster.startController('c1');
      const a = await cluster.join('a');
      await settled('one has all', workersAre(1));
      own.faults.dropWatchEvents(true);
      await a.leave();
      await cluster.join('b');
      const granted = async () => loads(await cluster.snapshot())['b'] === 8;
      await eventually('the other is granted all', granted, WITHIN);
    } finally {
      await cluster.close();
      await own.stop();
    }
  });
});

describe('a controller whose ZooKeeper is wiped', () => {
  it('waits for cluster-init, then leads again, its terms, plan and epochs starting anew', async (context) => {
    const own = await startTestZooKeeper();
    cluster = new ClusterUnderTest({ connectString: own.connectString, sessionTimeoutMs: 1_000 });
    try {
      if (own.faults === undefined) return context.skip('needs fault controls');
      await cluster.initialise(8, 'the same uid');
      const controller = await cluster.startController('c1');
      await cluster.join('a');
      await cluster.join('b');
      await settled('two share', workersAre(2));
      own.faults.wipe();
      await eventually('it waits', () => controller.log.some((line) => line.includes('is missing')), WITHIN);
      await cluster.initialise(8, 'the same uid');
      await cluster.join('c');
      const after = await settled('a new one has all', workersAre(1));
      expect(new Set(grantsByPartition(after))).toEqual(new Set(['c@1']));
    } finally {
      await cluster.close();
      await own.stop();
    }
  });
});
