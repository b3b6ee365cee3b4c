import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { ClusterUnderTest, FAILOVER_MS, SESSION_TIMEOUT_MS } from '../e2e/cluster-under-test.ts';
import { movedBetween } from '../e2e/moves.ts';
import { ClaimWitness } from './claim-witness.ts';

const WEDGED_AFTER_MS = 3_000;

describe('a handler that computes without yielding', () => {
  let cluster: ClusterUnderTest;
  let witness: ClaimWitness;
  beforeEach(async () => {
    cluster = await ClusterUnderTest.start({ workers: 2 });
    witness = await ClaimWitness.install(cluster.databaseUrl);
  });
  afterEach(async () => {
    await witness.close();
    await cluster.stop();
  });

  const runs = (id: number) =>
    eventually(`task ${id} runs`, () => cluster.startsOf(id)[0], { withinMs: 5_000 });

  it('for ten seconds costs its worker neither its partitions nor the leases of its other tasks', async () => {
    const before = await cluster.view();
    const others = [];
    for (let i = 0; i < 5; i += 1) {
      others.push(await cluster.submitTo('worker-1', { name: 'demo', payload: { sleepMs: 6_000 } }));
    }
    for (const { id } of others) await runs(id);
    const blocking = await cluster.submitTo('worker-1', { name: 'demo', payload: { computeMs: 10_000 } });
    const { timeMs: blockedAtMs } = await runs(blocking.id);
    const waiting = await cluster.submitToPartition(blocking.partitionId, { name: 'waits behind it' });

    let looks = 0;
    while (Date.now() - blockedAtMs < 9_500) {
      const { partitions, workers } = await cluster.view();
      expect(partitions).toEqual(before.partitions);
      expect(workers.map(({ alive }) => alive)).toEqual([true, true]);
      looks += 1;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(looks).toBeGreaterThan(20);
    for (const { id } of [...others, blocking, waiting]) {
      expect(await cluster.ended(id, 15_000)).toMatchObject({
        status: 'COMPLETED',
        attempt: 1,
        workerId: 'worker-1',
      });
      expect(cluster.startsOf(id)).toHaveLength(1);
    }
    expect((await cluster.view()).partitions).toEqual(before.partitions);
    expect(await witness.violations()).toEqual([]);
  });

  it('for longer than the limit costs both, others take over, and afterwards the worker rejoins', async () => {
    const wedged = cluster.startWorker('worker-3', { WEDGED_AFTER_MS: String(WEDGED_AFTER_MS) });
    await cluster.balanced(3);
    const owned = await cluster.owners();
    const other = await cluster.submitTo('worker-3', { name: 'demo', payload: { sleepMs: 4_000 } });
    await runs(other.id);
    const blocking = await cluster.submitTo('worker-3', { name: 'demo', payload: { computeMs: 15_000 } });
    const { timeMs: blockedAtMs } = await runs(blocking.id);
    const waiting = await cluster.submitToPartition(blocking.partitionId, { name: 'waits for an owner' });

    // The lease was last renewed a moment before it was found wedged, and is looked at every WEDGED_AFTER_MS / 4.
    const withinMs = 1.25 * WEDGED_AFTER_MS + FAILOVER_MS;
    for (const { id } of [other, waiting]) {
      const taken = await eventually(
        'another worker starts it',
        () => cluster.startsOf(id).find(({ worker }) => worker !== 'worker-3'),
        { withinMs: 2 * withinMs },
      );
      expect(taken.timeMs - blockedAtMs).toBeLessThanOrEqual(withinMs);
    }
    const lost = (await cluster.view()).workers.find(({ id }) => id === 'worker-3');
    expect(lost).toMatchObject({ alive: false, partitions: [] });

    await eventually('it has rejoined', () => joined(wedged) === 2, {
      withinMs: 15_000 + SESSION_TIMEOUT_MS,
    });
    await cluster.balanced(3);
    const next = await cluster.submitTo('worker-3', { name: 'after the block' });
    expect(await cluster.ended(next.id, 5_000)).toMatchObject({ workerId: 'worker-3', attempt: 1 });
    // Both had been taken from it: what it still had to say of them did not count.
    expect(await cluster.ended(other.id, 10_000)).toMatchObject({ status: 'COMPLETED', attempt: 2 });
    expect(await cluster.ended(blocking.id, 40_000)).toMatchObject({ status: 'COMPLETED', attempt: 2 });
    expect(movedBetween(owned, await cluster.owners()).length).toBeLessThanOrEqual(21);
    expect(wedged.running).toBe(true);
    expect(await witness.violations()).toEqual([]);
    cluster.expectNoDoubleStarts();
  });
});

const joined = ({ lines }: { lines: readonly { msg: string }[] }) =>
  lines.filter(({ msg }) => msg === 'joined the cluster').length;
