import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../../../libs/testing/eventually.ts';
import { useZooKeeper } from '../../../libs/testing/zookeeper-fixture.ts';
import { ParticipantBench } from '../testing/participant-under-test.ts';

const SESSION_TIMEOUT_MS = 1_200;

describe('a worker’s part in the cluster', () => {
  const zookeeper = useZooKeeper({ tickTimeMs: 200, sessionTimeoutMs: 4_000 });
  let bench: ParticipantBench;
  beforeEach(async () => {
    bench = await ParticipantBench.open({
      zk: await zookeeper.connect(),
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
    });
  });
  afterEach(() => bench.close());
  const here = () => ({ connectString: zookeeper.server.connectString });

  it('takes what it is granted in Postgres, tells the main loop, and acknowledges', async () => {
    const w1 = bench.start({ workerId: 'w1', ...here() });
    const incarnation = await bench.joined('w1');
    const rev = await bench.grant('w1', incarnation, { 0: 1, 3: 1 });
    expect(await bench.acknowledged('w1', incarnation, rev)).toMatchObject({
      owned: { 0: 1, 3: 1 },
      fenced: {},
    });
    expect(w1.held()).toEqual([
      { partition: 0, epoch: 1, incarnation },
      { partition: 3, epoch: 1, incarnation },
    ]);
    expect(await bench.owners()).toEqual({ 0: 'w1', 3: 'w1' });
  });

  it('releases in Postgres what is revoked before it acknowledges that', async () => {
    const w1 = bench.start({ workerId: 'w1', ...here() });
    const incarnation = await bench.joined('w1');
    await bench.acknowledged('w1', incarnation, await bench.grant('w1', incarnation, { 0: 1, 3: 1 }));
    const rev = await bench.grant('w1', incarnation, { 3: 1 });
    const released = await bench.acknowledged(
      'w1',
      incarnation,
      rev,
      ({ releasing }) => releasing.length === 0,
    );
    expect(released.owned).toEqual({ 3: 1 });
    expect(await bench.owners()).toEqual({ 3: 'w1' });
    expect(w1.held()).toEqual([{ partition: 3, epoch: 1, incarnation }]);
  });

  it('reports a grant that Postgres has overtaken, and takes the next above it', async () => {
    bench.start({ workerId: 'w1', ...here() });
    const incarnation = await bench.joined('w1');
    const other = { workerId: 'other', incarnation: 'other', lockTimeoutMs: 1_000 };
    await bench.ownership.acquire({ ...other, grants: [{ partition: 0, epoch: 9 }] });
    const refused = await bench.acknowledged(
      'w1',
      incarnation,
      await bench.grant('w1', incarnation, { 0: 3 }),
    );
    expect(refused).toMatchObject({ owned: {}, fenced: { 0: 9 } });
    const taken = await bench.acknowledged(
      'w1',
      incarnation,
      await bench.grant('w1', incarnation, { 0: 10 }),
    );
    expect(taken).toMatchObject({ owned: { 0: 10 }, fenced: {} });
  });

  it('keeps working while ZooKeeper is away, and comes back as another incarnation that is granted anew', async () => {
    const proxy = await zookeeper.proxy();
    const w1 = bench.start({ workerId: 'w1', connectString: proxy.connectString, wedgedAfterMs: 1_000 });
    const first = await bench.joined('w1');
    await bench.acknowledged('w1', first, await bench.grant('w1', first, { 0: 1 }));
    w1.use([first]);

    proxy.refuse();
    proxy.cut();
    await eventually('its session has ended', async () => (await bench.incarnations('w1')).length === 0, {
      withinMs: 15_000,
    });
    expect(w1.held()).toEqual([{ partition: 0, epoch: 1, incarnation: first }]);
    expect(await bench.leases()).toEqual([first]);

    proxy.forward();
    const second = await bench.joined('w1', first);
    await bench.acknowledged('w1', second, await bench.grant('w1', second, { 0: 2 }));
    expect(w1.held()).toEqual([{ partition: 0, epoch: 2, incarnation: second }]);
    // What still runs under the first incarnation keeps its lease.
    await eventually(
      'both leases are renewed',
      async () => (await bench.leases()).join() === `${first},${second}`,
      {
        withinMs: 5_000,
      },
    );
    w1.use([]);
    await eventually('the first lease ends', async () => (await bench.leases()).join() === second, {
      withinMs: 5_000,
    });
  });

  it('knows itself again when the reply to its joining was lost', async (context) => {
    const { faults } = zookeeper.server;
    context.skip(faults === undefined, 'only the embedded server can lose a chosen reply');
    const lost = faults?.dropNextReply(({ type }) => type === 'multi');
    const w1 = bench.start({ workerId: 'w1', ...here() });
    await lost;
    const incarnation = await bench.joined('w1');
    await bench.acknowledged('w1', incarnation, await bench.grant('w1', incarnation, { 0: 1 }));
    expect(w1.fatal()).toBeUndefined();
    expect(await bench.incarnations('w1')).toEqual([incarnation]);
  });

  it('acknowledges on when somebody has removed its ack, under the same incarnation', async () => {
    bench.start({ workerId: 'w1', ...here() });
    const incarnation = await bench.joined('w1');
    const rev = await bench.grant('w1', incarnation, { 0: 1 });
    await bench.acknowledged('w1', incarnation, rev);
    const zk = await zookeeper.connect();
    const path = bench.paths.ackOf('w1', incarnation);
    await zk.delete(path, -1);
    // Also where nothing is to be acknowledged anew: the controller would wait for what it has been told before.
    expect(await bench.acknowledged('w1', incarnation, rev)).toMatchObject({ owned: { 0: 1 } });
    await zk.delete(path, -1);
    expect(
      await bench.acknowledged(
        'w1',
        incarnation,
        await bench.grant('w1', incarnation, { 3: 1 }),
        ({ owned }) => Object.keys(owned).join() === '3',
      ),
    ).toMatchObject({ releasing: [] });
    const [ack, live] = await Promise.all(
      [path, bench.paths.liveInstance('w1', incarnation)].map((each) => zk.exists(each)),
    );
    expect(ack?.ephemeralOwner).toBe(live?.ephemeralOwner);
    expect(await bench.incarnations('w1')).toEqual([incarnation]);
  });

  it('releases what is revoked though no watch fires, within a look, and looks no more often than it must', async (context) => {
    const { faults } = zookeeper.server;
    context.skip(faults === undefined, 'only the embedded server can drop events');
    // A wedge is looked for every 375 ms; that reads nothing.
    bench.start({ workerId: 'w1', wedgedAfterMs: 1_500, ...here() });
    const incarnation = await bench.joined('w1');
    const looksAtMs: number[] = [];
    void faults?.dropNextReply((request) => {
      const isLook = request.type === 'exists' && request.path === bench.paths.grantsOf('w1');
      if (isLook && request.watch) looksAtMs.push(performance.now());
      return false;
    });
    await bench.acknowledged('w1', incarnation, await bench.grant('w1', incarnation, { 0: 1, 3: 1 }));
    faults?.dropWatchEvents(true);
    const before = looksAtMs.length;
    const rev = await bench.grant('w1', incarnation, { 3: 1 });
    const released = await bench.acknowledged('w1', incarnation, rev, ({ owned }) => !('0' in owned));
    faults?.dropWatchEvents(false);
    expect(released.owned).toEqual({ 3: 1 });
    expect(await bench.owners()).toEqual({ 3: 'w1' });
    expect(looksAtMs).toHaveLength(before + 1);
    expect((looksAtMs[before] ?? 0) - (looksAtMs[before - 1] ?? 0)).toBeGreaterThan(2_500);
    // It watches again.
    await bench.acknowledged('w1', incarnation, await bench.grant('w1', incarnation, {}));
    expect((looksAtMs[before + 1] ?? 0) - (looksAtMs[before] ?? 0)).toBeLessThan(2_500);
  });

  it('refuses to be the second with its worker id', async () => {
    bench.start({ workerId: 'w1', ...here() });
    const first = await bench.joined('w1');
    const second = bench.start({ workerId: 'w1', ...here() });
    const message = await eventually('the second gives up', () => second.fatal(), { withinMs: 15_000 });
    expect(message).toContain('worker id w1 is in use');
    expect(await bench.incarnations('w1')).toEqual([first]);
  });

  it('lets go of partitions and lease when the main loop is wedged, and rejoins when it runs again', async () => {
    const w1 = bench.start({ workerId: 'w1', wedgedAfterMs: 1_000, ...here() });
    const first = await bench.joined('w1');
    await bench.acknowledged('w1', first, await bench.grant('w1', first, { 0: 1 }));
    w1.blockMain(true);
    await eventually('it has left', async () => (await bench.incarnations('w1')).length === 0, {
      withinMs: 10_000,
    });
    await eventually('its lease is over', async () => (await bench.leases()).length === 0, {
      withinMs: 10_000,
    });
    expect(w1.held()).toEqual([]);
    w1.blockMain(false);
    const second = await bench.joined('w1', first);
    await bench.acknowledged('w1', second, await bench.grant('w1', second, { 0: 2 }));
    expect(w1.held()).toEqual([{ partition: 0, epoch: 2, incarnation: second }]);
  });

  it('leaves with its partitions released, and keeps the lease until it is done', async () => {
    const w1 = bench.start({ workerId: 'w1', ...here() });
    const incarnation = await bench.joined('w1');
    await bench.acknowledged('w1', incarnation, await bench.grant('w1', incarnation, { 0: 1, 3: 1 }));
    w1.use([incarnation]);
    await w1.participant.leave();
    expect(w1.held()).toEqual([]);
    expect(await bench.owners()).toEqual({});
    expect(await bench.incarnations('w1')).toEqual([]);
    expect(await bench.leases()).toEqual([incarnation]);
    // By its farewell, which outlasts the session, the controller tells this from a crash.
    const farewell = await (await zookeeper.connect()).exists(bench.paths.ackOf('w1', incarnation));
    expect(farewell?.ephemeralOwner).toBe(0n);
    await w1.participant.finish();
    expect(await bench.leases()).toEqual([]);
  });
});

describe('a worker between two clusters', () => {
  const zookeeper = useZooKeeper({ tickTimeMs: 200, sessionTimeoutMs: 4_000 });

  it('does not work where ZooKeeper and the database are of different ones', async () => {
    const zk = await zookeeper.connect();
    const bench = await ParticipantBench.open({
      zk,
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
      uidInZooKeeper: 'foreign',
    });
    const w1 = bench.start({ workerId: 'w1', connectString: zookeeper.server.connectString });
    const message = await eventually('it gives up', () => w1.fatal(), { withinMs: 10_000 });
    expect(message).toContain('foreign');
    expect(await bench.incarnations('w1')).toEqual([]);
    await bench.close();
  });
});
