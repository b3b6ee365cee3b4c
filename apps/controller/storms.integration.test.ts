import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { startTestZooKeeper } from '../../libs/testing/zookeeper.ts';
import type { TestZooKeeper } from '../../libs/testing/zookeeper.ts';
import type { Snapshot } from './snapshot.ts';
import { ClusterUnderTest, isSettled, loads } from './testing/cluster-under-test.ts';
import { PipelineUnderTest } from './testing/pipeline-under-test.ts';
import { ScriptedWorker } from './testing/scripted-worker.ts';

const PARTITIONS = 64;

let server: TestZooKeeper;
let cluster: ClusterUnderTest;

beforeAll(async () => {
  server = await startTestZooKeeper({ shared: true });
});
afterAll(() => server.stop());
beforeEach(async () => {
  cluster = new ClusterUnderTest({ connectString: server.connectString });
  await cluster.initialise(PARTITIONS);
});
afterEach(() => cluster.close());

/** How often each partition has been granted. */
const grantsOf = ({ plan }: Snapshot) => plan.epoch;

const partitionsOf = async (id: string) =>
  (await cluster.snapshot()).plan.target.flatMap((worker, partition) => (worker === id ? [partition] : []));

describe('a storm of starts', () => {
  it('of 20 workers at once ends in one assignment: each partition is granted once', async () => {
    const controller = await cluster.startController('c1');
    const ids = Array.from({ length: 20 }, (_, i) => `w${i}`);
    const sessions = await Promise.all(ids.map((id) => cluster.connect().then((zk) => ({ id, zk }))));
    await Promise.all(
      sessions.map((session) =>
        ScriptedWorker.join({ ...session, paths: cluster.paths, incarnation: randomUUID() }),
      ),
    );
    const settled = await eventually(
      'all share',
      async () => {
        const snapshot = await cluster.snapshot();
        return snapshot.live.size === 20 && isSettled(snapshot) && snapshot;
      },
      { withinMs: 15_000 },
    );
    expect(new Set(grantsOf(settled))).toEqual(new Set([1]));
    expect(new Set(Object.values(loads(settled)))).toEqual(new Set([3, 4]));
    expect(controller.log.filter((line) => line.startsWith('assigned: '))).toHaveLength(1);
  });
});

describe('a rolling restart', () => {
  it('of 5 workers and the leader with each: everyone gets its own back, no partition moves more than twice', async () => {
    let leader = await PipelineUnderTest.start(cluster);
    const workers = new Map<string, ScriptedWorker>();
    for (const id of ['w1', 'w2', 'w3', 'w4', 'w5']) workers.set(id, await cluster.join(id));
    await leader.balance();
    const before = await cluster.snapshot();
    for (const [id, worker] of workers) {
      const own = await partitionsOf(id);
      await worker.leave();
      await leader.settle();
      leader = await PipelineUnderTest.start(cluster);
      await cluster.join(id);
      await leader.balance();
      expect(own).toEqual(expect.arrayContaining(await partitionsOf(id)));
    }
    const after = await cluster.snapshot();
    expect(Object.values(loads(after)).sort()).toEqual([12, 13, 13, 13, 13]);
    const moves = grantsOf(after).map((epoch, partition) => epoch - (grantsOf(before)[partition] ?? 0));
    expect(Math.max(...moves)).toBe(2);
  });
});
