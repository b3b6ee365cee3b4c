import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { metaCodec, modeCodec } from '../../libs/cluster/records.ts';
import type { Mode } from '../../libs/cluster/records.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import { ManualClock } from '../../libs/testing/manual-clock.ts';
import { startTestZooKeeper } from '../../libs/testing/zookeeper.ts';
import type { TestZooKeeper } from '../../libs/testing/zookeeper.ts';
import { systemRandom } from '../../libs/runtime/system.ts';
import { Pipeline } from './pipeline.ts';
import type { RunResult } from './pipeline.ts';
import { ClusterUnderTest, isSettled, loads } from './testing/cluster-under-test.ts';

let server: TestZooKeeper;
let cluster: ClusterUnderTest;
let clock: ManualClock;
let pipeline: Pipeline;
let warnings: string[];

beforeAll(async () => {
  server = await startTestZooKeeper({ shared: true });
});
afterAll(() => server.stop());
beforeEach(async () => {
  cluster = new ClusterUnderTest({ connectString: server.connectString });
  await cluster.initialise(8);
  clock = new ManualClock();
  warnings = [];
  pipeline = new Pipeline({
    zk: await cluster.observer(),
    paths: cluster.paths,
    clock,
    random: systemRandom,
    logger: pino(
      { level: 'warn' },
      { write: (line) => warnings.push((JSON.parse(line) as { msg: string }).msg) },
    ),
    leadership: { term: 0, valid: () => true, lost: new AbortController().signal },
    watcher: () => undefined,
  });
});
afterEach(() => cluster.close());

/** Runs the pipeline until nothing more is to be done at this moment; workers follow their grants meanwhile. */
async function runUntilSettled(): Promise<RunResult> {
  return eventually(
    'the pipeline settles',
    async () => {
      const result = await pipeline.run();
      const snapshot = await cluster.snapshot();
      const nobodyWorks = Object.values(loads(snapshot)).every((load) => load === 0);
      return result.outcome === 'SETTLED' && (nobodyWorks || isSettled(snapshot)) && result;
    },
    { withinMs: 10_000, everyMs: 5 },
  );
}

const currentLoads = async () => loads(await cluster.snapshot());
const targets = async () => new Set((await cluster.snapshot()).plan.target);
const setMode = async (mode: Mode) =>
  (await cluster.observer()).setData(cluster.paths.mode, modeCodec.encode(mode), -1);

/** One worker that has everything. */
async function startWithOne(id: string) {
  const worker = await cluster.join(id);
  await pipeline.run();
  await clock.advance(500);
  await runUntilSettled();
  return worker;
}

describe('a run of the pipeline', () => {
  it('waits at a cold start for workers that start together', async () => {
    await cluster.join('a');
    expect(await pipeline.run()).toEqual({ outcome: 'SETTLED', runAgainInMs: 500 });
    await clock.advance(400);
    await cluster.join('b');
    expect(await pipeline.run()).toEqual({ outcome: 'SETTLED', runAgainInMs: 500 });
    await clock.advance(400);
    await cluster.join('c');
    expect(await pipeline.run()).toEqual({ outcome: 'SETTLED', runAgainInMs: 200 });
    await clock.advance(200);
    expect((await pipeline.run()).outcome).toBe('PUBLISHED');
    expect(await currentLoads()).toEqual({ a: 3, b: 3, c: 2 });
  });

  it('balances after a quiet time, and places orphans at once', async () => {
    const a = await startWithOne('a');
    await cluster.join('b');
    expect(await runUntilSettled()).toEqual({ outcome: 'SETTLED', runAgainInMs: 500 });
    expect(await currentLoads()).toEqual({ a: 8, b: 0 });
    await clock.advance(500);
    await runUntilSettled();
    expect(await currentLoads()).toEqual({ a: 4, b: 4 });

    await cluster.join('c');
    await a.leave();
    expect((await pipeline.run()).outcome).toBe('PUBLISHED');
    expect(await currentLoads()).toEqual({ b: 4, c: 4 });
  });

  it('waits anew after it has balanced, though workers keep coming', async () => {
    await startWithOne('a');
    await cluster.join('b');
    await runUntilSettled();
    await clock.advance(1_000);
    expect((await pipeline.run()).outcome).toBe('PUBLISHED');
    await cluster.join('c');
    expect(await runUntilSettled()).toEqual({ outcome: 'SETTLED', runAgainInMs: 500 });
    expect(await currentLoads()).toEqual({ a: 4, b: 4, c: 0 });
  });

  it('gives each worker that returns its own at once, where all return', async () => {
    const a = await startWithOne('a');
    await a.leave();
    await runUntilSettled();
    expect(await targets()).toEqual(new Set(['a']));
    await cluster.join('a');
    expect((await pipeline.run()).outcome).toBe('PUBLISHED');
    expect(await currentLoads()).toEqual({ a: 8 });
  });

  it('moves nothing when PAUSED, orphans only in MAINTENANCE, and balances when that has ended', async () => {
    const a = await startWithOne('a');
    await setMode({ mode: 'PAUSED' });
    await cluster.join('b');
    await a.leave();
    await runUntilSettled();
    expect(await targets()).toEqual(new Set(['a']));

    await setMode({ mode: 'MAINTENANCE', untilMs: clock.wallMs() + 60_000 });
    await runUntilSettled();
    await cluster.join('c');
    await clock.advance(50_000);
    expect(await runUntilSettled()).toEqual({ outcome: 'SETTLED', runAgainInMs: 10_000 });
    expect(await currentLoads()).toEqual({ b: 8, c: 0 });

    await clock.advance(10_000);
    expect(await runUntilSettled()).toEqual({ outcome: 'SETTLED', runAgainInMs: 500 });
    await clock.advance(500);
    await runUntilSettled();
    expect(await currentLoads()).toEqual({ b: 4, c: 4 });
  });

  it('is not stopped by one worker whose ack makes no sense, and says so once', async () => {
    const a = await startWithOne('a');
    await cluster.join('b');
    a.stopObeying();
    const ack = cluster.paths.ackOf('a', a.incarnation);
    await (await cluster.observer()).setData(ack, Buffer.from('nonsense'), -1);
    for (let run = 0; run < 3; run += 1) {
      await pipeline.run();
      await clock.advance(500);
    }
    expect(warnings).toEqual([`${ack}: not JSON, expected a ack record: counts as absent`]);
    // Its release cannot be heard, so the wait for it runs out.
    await clock.advance(10_000);
    await pipeline.run();
    expect(await currentLoads()).toEqual({ a: 4, b: 4 });
  });

  it('says again what was mended and is broken once more, and so remembers no more than there is', async () => {
    const wish = cluster.paths.worker('a');
    const zk = await cluster.observer();
    for (let time = 0; time < 2; time += 1) {
      await zk.create(wish, Buffer.from('nonsense'), 'PERSISTENT');
      await pipeline.run();
      await pipeline.run();
      await zk.delete(wish, -1);
      await pipeline.run();
    }
    const warning = expect.stringMatching(/not JSON.*: counts as absent/) as string;
    expect(warnings).toEqual([warning, warning]);
  });

  it('stops at another cluster than the one it began with', async () => {
    expect((await pipeline.run()).outcome).toBe('SETTLED');
    const another = metaCodec.encode({ uid: randomUUID(), partitions: 8 });
    await (await cluster.observer()).setData(cluster.paths.meta, another, -1);
    expect((await pipeline.run()).outcome).toBe('UNINITIALISED');
  });
});
