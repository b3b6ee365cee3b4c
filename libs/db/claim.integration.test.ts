import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DatabaseUnderTest, EVERYWHERE } from '../testing/database-under-test.ts';
import type { WorkerUnderTest } from '../testing/database-under-test.ts';

describe('claim', () => {
  let database: DatabaseUnderTest;
  let a: WorkerUnderTest;
  beforeAll(async () => {
    database = await DatabaseUnderTest.start();
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    a = await database.worker('a');
    await database.pool.query(
      'UPDATE partition_owner SET epoch = 0, owner = NULL, incarnation = NULL, acquired_at = NULL',
    );
    await a.own([0, 1, 2, 3], 1);
  });
  afterEach(() => database.clear());

  it('starts an attempt of what is due, the oldest first, and leaves the rest', async () => {
    const [late] = await database.submit(['late'], { scheduledAtMs: Date.now() - 1_000, partition: 0 });
    const [later] = await database.submit(['later'], { partition: 1 });
    await database.submit(['future'], { scheduledAtMs: Date.now() + 60_000, partition: 0 });

    const { tasks, held, dbNowMs } = await a.claim();
    expect(held.toSorted()).toEqual([0, 1, 2, 3]);
    expect(tasks).toEqual([
      {
        id: late?.id,
        name: 'late',
        partition: 0,
        epoch: 1,
        incarnation: a.incarnation,
        record: expect.any(Number) as number,
        attempt: 1,
        ...{ failures: 0, policy: null, priority: 0, serial: false },
        scheduledAtMs: late?.scheduledAtMs,
        dueAtMs: late?.createdAtMs,
        claimedAtMs: dbNowMs,
        ...{ payload: null, payloadIsShort: true },
      },
      expect.objectContaining({ id: later?.id, name: 'later', partition: 1 }),
    ]);
    expect(await database.tasks.get(late?.id ?? 0)).toMatchObject({
      status: 'RUNNING',
      attempt: 1,
      workerId: 'a',
      startedAtMs: Math.ceil(dbNowMs),
    });
    expect((await a.claim()).tasks).toEqual([]);
  });

  it('takes no more than its limit', async () => {
    await database.submit(['1', '2', '3', '4', '5'], { partition: 1 });
    const held = a.held.slice(1, 2);
    expect((await a.claim(3, held)).tasks).toHaveLength(3);
    expect((await a.claim(3, held)).tasks).toHaveLength(2);
    expect(await database.records()).toEqual({ 1: [3, 2] });
  });

  it('leaves one record a partition, of all it took there, under one number', async () => {
    await database.submit(['x', 'y'], { partition: 0 });
    await database.submit(['z'], { partition: 3 });
    const { tasks } = await a.claim();
    expect(new Set(tasks.map(({ record }) => record)).size).toBe(1);
    expect(await database.records()).toEqual({ 0: [2], 3: [1] });
    await a.claim();
    expect(await database.records()).toEqual({ 0: [2], 3: [1] });
  });

  it('names no partition whose epoch or incarnation is another, and touches nothing of it', async () => {
    const task = await database.submitOne({ partition: 0 });
    const held = { partition: 0, epoch: 1, incarnation: a.incarnation };
    for (const stale of [
      { ...held, epoch: 0 },
      { ...held, epoch: 2 },
      { ...held, incarnation: 'another' },
      { ...held, partition: 99 },
    ]) {
      expect(await a.claim(10, [stale])).toMatchObject({ held: [], tasks: [] });
    }
    expect(await database.tasks.get(task.id)).toMatchObject({ status: 'PENDING', attempt: 0 });
  });

  it('serves partitions held under different incarnations of one worker', async () => {
    const next = await database.worker('a');
    await next.own([3], 2);
    await database.submit(['x'], { partition: 0 });
    await database.submit(['y'], { partition: 3 });
    const { tasks, held } = await a.claim(10, [...a.held.slice(0, 3), ...next.held]);
    expect(held.toSorted()).toEqual([0, 1, 2, 3]);
    expect(tasks.map(({ name, incarnation }) => [name, incarnation])).toEqual([
      ['x', a.incarnation],
      ['y', next.incarnation],
    ]);
  });

  it('its reply lost, shows what it took under its id', async () => {
    const task = await database.submitOne({ partition: 2, name: 'lost' });
    const claimId = randomUUID();
    const { tasks } = await a.execution.claim({ claimId, workerId: 'a', held: a.held, limit: 10 });
    const [claimed] = tasks;
    expect(await a.execution.running([a.incarnation], EVERYWHERE)).toEqual([
      {
        id: task.id,
        name: 'lost',
        partition: 2,
        epoch: 1,
        incarnation: a.incarnation,
        record: claimed?.record,
        attempt: 1,
        ...{ failures: 0, policy: null, priority: 0, serial: false },
        scheduledAtMs: task.scheduledAtMs,
        dueAtMs: task.createdAtMs,
        claimedAtMs: claimed?.claimedAtMs,
        claimId,
        cancelRequested: false,
      },
    ]);
    expect(await a.execution.running(['another'], EVERYWHERE)).toEqual([]);
    const seenFrom = async (partition: number, oldestRecord: number) =>
      (await a.execution.running([a.incarnation], [{ partition, oldestRecord }])).map(({ id }) => id);
    const record = claimed?.record ?? 0;
    expect(await seenFrom(2, record)).toEqual([task.id]);
    expect(await seenFrom(2, record + 1)).toEqual([]);
    expect(await seenFrom(1, 0)).toEqual([]);
  });
});
