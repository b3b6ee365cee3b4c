import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestZooKeeper } from '../../libs/testing/zookeeper.ts';
import type { TestZooKeeper } from '../../libs/testing/zookeeper.ts';
import { ClusterUnderTest } from './testing/cluster-under-test.ts';
import { PipelineUnderTest } from './testing/pipeline-under-test.ts';

const HOUR_MS = 3_600_000;

let server: TestZooKeeper;
let cluster: ClusterUnderTest;
let leader: PipelineUnderTest;

beforeAll(async () => {
  server = await startTestZooKeeper({ shared: true });
});
afterAll(() => server.stop());
beforeEach(async () => {
  cluster = new ClusterUnderTest({ connectString: server.connectString });
  await cluster.initialise(12);
  leader = await PipelineUnderTest.start(cluster);
});
afterEach(() => cluster.close());

describe('a wish', () => {
  it('drains and disables at once, with no quiet time before', async () => {
    for (const id of ['a', 'b', 'c']) await cluster.join(id);
    await leader.balance();
    expect(await leader.loads()).toEqual({ a: 4, b: 4, c: 4 });
    await leader.wish('a', { wish: 'DRAIN' });
    await leader.settle();
    expect(await leader.loads()).toEqual({ a: 0, b: 6, c: 6 });
    await leader.wish('b', { wish: 'DISABLED' });
    await leader.settle();
    expect(await leader.loads()).toEqual({ a: 0, b: 0, c: 12 });
    await leader.wish('a', { wish: 'ENABLED' });
    await leader.settle();
    expect(await leader.loads()).toEqual({ a: 0, b: 0, c: 12 });
    await leader.balance();
    expect(await leader.loads()).toEqual({ a: 6, b: 0, c: 6 });
  });

  it('stands over what a worker says of itself; one that makes no sense asks for nothing', async () => {
    await cluster.join('a', { weight: 3 });
    await cluster.join('b');
    await leader.wish('b', 'nonsense');
    await leader.balance();
    expect(await leader.loads()).toEqual({ a: 9, b: 3 });
    expect(leader.warnings).toEqual([expect.stringMatching(/workers\/b: not a worker wish record.*absent$/)]);
    await leader.wish('a', { weight: 1 });
    await leader.balance();
    expect(await leader.loads()).toEqual({ a: 6, b: 6 });
    await leader.wish('a', { weight: 1, maxPartitions: 2 });
    await leader.settle();
    expect(await leader.loads()).toEqual({ a: 2, b: 10 });
  });

  it('as a mode makes no sense either: the controller goes on as if there were none', async () => {
    for (const id of ['a', 'b']) await cluster.join(id);
    await (
      await cluster.observer()
    ).setData(cluster.paths.mode, Buffer.from('{"v":1,"mode":"AUTOMATIC"}'), -1);
    await leader.balance();
    expect(await leader.loads()).toEqual({ a: 6, b: 6 });
    expect(leader.warnings).toEqual([expect.stringMatching(/mode: not a mode record.*absent$/)]);
  });

  it('is heeded in MAINTENANCE, which balances nothing, and waits while PAUSED', async () => {
    for (const id of ['a', 'b']) await cluster.join(id);
    await leader.balance();
    await leader.setMode({ mode: 'PAUSED' });
    await leader.wish('a', { wish: 'DRAIN' });
    await leader.balance();
    expect(await leader.loads()).toEqual({ a: 6, b: 6 });
    await leader.setMode({ mode: 'MAINTENANCE' });
    await leader.settle();
    expect(await leader.loads()).toEqual({ a: 0, b: 12 });
    await leader.wish('a', { wish: 'ENABLED' });
    await leader.balance();
    expect(await leader.loads()).toEqual({ a: 0, b: 12 });
  });

  it('for a tag holds for the whole cluster, whatever its mode', async () => {
    await cluster.join('a', { tags: ['gpu'] });
    await cluster.join('b');
    await leader.balance();
    await leader.setMode({ mode: 'MAINTENANCE', untilMs: leader.clock.wallMs() - 1, requiredTag: 'gpu' });
    await leader.settle();
    expect(await leader.loads()).toEqual({ a: 12, b: 0 });
    await leader.wish('b', { tags: ['ssd', 'gpu'] });
    await leader.balance();
    expect(await leader.loads()).toEqual({ a: 6, b: 6 });
  });

  it('goes an hour after its worker, counted from the last change', async () => {
    const a = await cluster.join('a');
    await cluster.join('b');
    await leader.balance();
    await leader.wish('a', { wish: 'DISABLED' });
    await leader.settle();
    await a.leave();
    await leader.settle();
    await leader.clock.advance(HOUR_MS / 2);
    await leader.wish('a', { wish: 'DRAIN' });
    await leader.settle();
    await leader.clock.advance(HOUR_MS - 1);
    await leader.settle();
    expect([...(await cluster.snapshot()).wishes.keys()]).toEqual(['a']);
    await leader.clock.advance(1);
    await leader.settle();
    const { wishes, grants } = await cluster.snapshot();
    expect([...wishes.keys(), ...grants.keys()]).toEqual(['b']);
  });
});

describe('when workers are lost', () => {
  const ids = Array.from({ length: 12 }, (_, i) => `w${i}`);

  it('many at once bring MAINTENANCE, which ends by itself', async () => {
    const workers = await Promise.all(ids.map((id) => cluster.join(id)));
    await leader.balance();
    for (const worker of workers.slice(0, 4)) await worker.crash();
    await leader.settle();
    expect((await cluster.snapshot()).mode.mode).toBe('AUTO');
    await workers[4]?.crash();
    await leader.settle();
    const { mode, plan } = await cluster.snapshot();
    expect(mode).toMatchObject({
      mode: 'MAINTENANCE',
      reason: '5 of 12 workers were lost within 4000 ms',
      untilMs: leader.clock.wallMs() + 300_000,
      automatic: true,
    });
    // What they held is placed all the same.
    expect(Math.max(...Object.values(await leader.loads()))).toBe(2);
    expect(plan.target).not.toContain('w0');

    await cluster.join('w0');
    await leader.balance();
    expect((await leader.loads())['w0']).toBe(0);
    await leader.clock.advance(300_000);
    await leader.balance();
    expect((await leader.loads())['w0']).toBe(1);
  });

  it('many at once bring it even where the mode is missing', async () => {
    const workers = await Promise.all(ids.map((id) => cluster.join(id)));
    await leader.balance();
    await (await cluster.observer()).delete(cluster.paths.mode, -1);
    for (const worker of workers.slice(0, 5)) await worker.crash();
    await leader.settle();
    expect((await cluster.snapshot()).mode).toMatchObject({ mode: 'MAINTENANCE', automatic: true });
  });

  it('in good order they are not: scaling down is no reason for MAINTENANCE', async () => {
    const workers = await Promise.all(ids.map((id) => cluster.join(id)));
    await leader.balance();
    for (const worker of workers.slice(0, 9)) await worker.leave();
    await leader.settle();
    const { mode, farewells } = await cluster.snapshot();
    expect(mode.mode).toBe('AUTO');
    expect(await leader.loads()).toEqual({ w9: 4, w10: 4, w11: 4 });
    // The farewells have been taken note of.
    expect(farewells.size).toBe(0);
  });

  it('an empty cluster leaves the automatic MAINTENANCE, so that the first to come back does not keep all', async () => {
    const workers = await Promise.all(ids.map((id) => cluster.join(id)));
    await leader.balance();
    for (const worker of workers.slice(0, 6)) await worker.crash();
    await leader.settle();
    expect((await cluster.snapshot()).mode.mode).toBe('MAINTENANCE');
    for (const worker of workers.slice(6)) await worker.crash();
    await leader.settle();
    expect((await cluster.snapshot()).mode).toMatchObject({ mode: 'AUTO' });
    for (const id of ['w0', 'w1']) await cluster.join(id);
    await leader.balance();
    expect(await leader.loads()).toEqual({ w0: 6, w1: 6 });
  });

  it('one again and again is in quarantine for a while: it gets no new partitions', async () => {
    for (const id of ['a', 'b']) await cluster.join(id);
    let flapping = await cluster.join('c');
    await leader.balance();
    for (let loss = 1; loss <= 3; loss += 1) {
      expect((await leader.loads())['c']).toBe(4);
      await flapping.crash();
      await leader.settle();
      flapping = await cluster.join('c');
      await leader.balance();
    }
    expect(leader.warnings).toEqual([
      'worker c was lost too often: in quarantine, it gets no new partitions',
    ]);
    expect(await leader.loads()).toEqual({ a: 6, b: 6, c: 0 });
    const { quarantined } = await cluster.snapshot();
    expect([...quarantined.keys()]).toEqual(['c']);

    // A new leader goes by it, and its first plan says so.
    leader = await PipelineUnderTest.start(cluster, leader.clock);
    await cluster.join('d');
    await leader.balance();
    expect(await leader.loads()).toEqual({ a: 4, b: 4, c: 0, d: 4 });
    expect((await cluster.snapshot()).quarantined).toEqual(quarantined);
    await leader.clock.advance(600_000);
    await leader.balance();
    expect(await leader.loads()).toEqual({ a: 3, b: 3, c: 3, d: 3 });
  });
});
