import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { ClusterUnderTest, FAILOVER_MS } from './cluster-under-test.ts';
import { movedBetween } from './moves.ts';

describe('a cluster of three workers and 64 partitions', () => {
  let cluster: ClusterUnderTest;
  beforeAll(async () => {
    cluster = await ClusterUnderTest.start({ workers: 3 });
  });
  afterAll(() => cluster.stop());

  it('shares them 21, 21, 22', async () => {
    expect(await cluster.loads()).toEqual([21, 21, 22]);
  });

  it('gives exactly 16 to a fourth worker, and moves no other', async () => {
    const before = await cluster.owners();
    cluster.startWorker('worker-4');
    expect(await cluster.balanced(4)).toEqual([16, 16, 16, 16]);
    const moved = movedBetween(before, await cluster.owners());
    expect(moved).toHaveLength(16);
    expect(new Set(moved.map(({ to }) => to))).toEqual(new Set(['worker-4']));
  });

  it('takes up what a killed worker was running and what came due there, and moves exactly its partitions', async () => {
    const before = await cluster.owners();
    const running = await cluster.submitTo('worker-2', { name: 'demo', payload: { sleepMs: 2_000 } });
    await eventually('worker-2 runs it', () => cluster.startsOf(running.id).length === 1, {
      withinMs: 5_000,
    });

    const waiting = await cluster.submitToPartition(running.partitionId, {
      name: 'comes-due-with-nobody-there',
      scheduledTime: new Date(Date.now() + 1_000).toISOString(),
    });
    const killedAtMs = Date.now();
    await cluster.app('worker-2').kill();
    const due = await cluster.submitToPartition(running.partitionId, { name: 'due-after-the-kill' });

    const again = await eventually('the running task starts again', () => cluster.startsOf(running.id)[1], {
      withinMs: 2 * FAILOVER_MS,
    });
    for (const { id } of [waiting, due]) {
      const started = await eventually('the due task starts', () => cluster.startsOf(id)[0], {
        withinMs: 2 * FAILOVER_MS,
      });
      expect(started.timeMs - killedAtMs).toBeLessThanOrEqual(FAILOVER_MS);
    }
    expect(again.attempt).toBe(2);
    expect(again.worker).not.toBe('worker-2');
    expect(again.timeMs - killedAtMs).toBeLessThanOrEqual(FAILOVER_MS);
    expect((await cluster.ended(running.id, 10_000)).status).toBe('COMPLETED');

    await cluster.balanced(3);
    const moved = movedBetween(before, await cluster.owners());
    expect(moved).toHaveLength(16);
    expect(new Set(moved.map(({ from }) => from))).toEqual(new Set(['worker-2']));
    cluster.expectNoDoubleStarts();
  });

  it('serves the partitions of a stopped worker within a second, and what it runs ends there, once', async () => {
    const running = await cluster.submitTo('worker-3', { name: 'demo', payload: { sleepMs: 2_000 } });
    await eventually('worker-3 runs it', () => cluster.startsOf(running.id).length === 1, {
      withinMs: 5_000,
    });

    const stoppedAtMs = Date.now();
    cluster.app('worker-3').signal('SIGTERM');
    const due = await cluster.submitToPartition(running.partitionId, { name: 'due-after-the-stop' });
    const started = await eventually(
      'another worker starts the due task',
      () => cluster.startsOf(due.id)[0],
      {
        withinMs: 10_000,
      },
    );
    expect(started.timeMs - stoppedAtMs).toBeLessThanOrEqual(1_000);

    expect(await cluster.app('worker-3').exit()).toBe(0);
    expect(await cluster.task(running.id)).toMatchObject({
      status: 'COMPLETED',
      attempt: 1,
      workerId: 'worker-3',
    });
    expect(cluster.startsOf(running.id)).toHaveLength(1);
    await cluster.balanced(2);
    cluster.expectNoDoubleStarts();
  });

  it('hands back what does not end within the grace, without charging it a failure', async () => {
    const long = await cluster.submitTo('worker-4', { name: 'demo', payload: { sleepMs: 20_000 } });
    await eventually('worker-4 runs it', () => cluster.startsOf(long.id).length === 1, { withinMs: 5_000 });
    cluster.startWorker('worker-5', { SHUTDOWN_GRACE_MS: '0' });
    await cluster.balanced(3);
    const short = await cluster.submitTo('worker-5', { name: 'demo', payload: { sleepMs: 5_000 } });
    await eventually('worker-5 runs it', () => cluster.startsOf(short.id).length === 1, { withinMs: 5_000 });
    cluster.app('worker-5').signal('SIGTERM');
    const again = await eventually('another worker starts it', () => cluster.startsOf(short.id)[1], {
      withinMs: 10_000,
    });
    expect(again).toMatchObject({ attempt: 2 });
    expect(await cluster.app('worker-5').exit()).toBe(0);
    expect((await cluster.ended(short.id, 10_000)).status).toBe('COMPLETED');
    cluster.expectNoDoubleStarts();
  });
});
