import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DatabaseUnderTest } from '../testing/database-under-test.ts';
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
  afterEach(async () => {
    await database.endTransactions();
    await database.pool.query('DELETE FROM task');
  });

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
        attempt: 1,
        failures: 0,
        scheduledAtMs: late?.scheduledAtMs,
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
    await database.submit(['1', '2', '3', '4', '5']);
    expect((await a.claim(3)).tasks).toHaveLength(3);
    expect((await a.claim(3)).tasks).toHaveLength(2);
  });

  it('stays within 64 KB however long the names are', async () => {
    const names = Array.from({ length: 200 }, () => '界'.repeat(200));
    await database.submit(names);
    const { tasks } = await a.claim(200);
    expect(Buffer.byteLength(JSON.stringify(tasks))).toBeLessThan(64 * 1_024);
    let claimed = tasks.length;
    for (let more = tasks.length; more > 0; claimed += more) more = (await a.claim(200)).tasks.length;
    expect(claimed).toBe(200);
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

  it('held open, makes a higher epoch wait until it has committed', async () => {
    const task = await database.submitOne({ partition: 0 });
    const open = await database.begin(a);
    expect((await open.worker.claim()).tasks).toHaveLength(1);

    const b = await database.worker('b');
    const bump = b.own([0], 2);
    await database.blocked(b);
    expect((await database.tasks.cluster()).partitions[0]).toMatchObject({ owner: 'a', epoch: 1 });

    await open.commit();
    expect(await bump).toEqual([0]);
    // The attempt goes on under a's lease; b finds nothing to claim.
    expect((await b.claim()).tasks).toEqual([]);
    expect(await database.tasks.get(task.id)).toMatchObject({ status: 'RUNNING', workerId: 'a' });
  });

  it('behind a higher epoch that is not yet committed, waits and then claims nothing', async () => {
    const task = await database.submitOne({ partition: 0 });
    const b = await database.worker('b');
    const bump = await database.begin(b);
    await bump.worker.own([0], 2);

    const claim = a.claim();
    await database.blocked(a);
    await bump.commit();
    const { tasks, held } = await claim;
    expect(tasks).toEqual([]);
    expect(held.toSorted()).toEqual([1, 2, 3]);
    expect(await database.tasks.get(task.id)).toMatchObject({ status: 'PENDING', attempt: 0 });
  });

  it('locks the rows of all its partitions, not only of those it finds something in', async () => {
    await database.submit(['x'], { partition: 0 });
    const open = await database.begin(a);
    expect((await open.worker.claim(1)).tasks).toHaveLength(1);
    const { rows } = await database.pool.query(
      'SELECT partition_id FROM partition_owner ORDER BY 1 FOR NO KEY UPDATE SKIP LOCKED',
    );
    expect(rows).toEqual([]);
    await open.rollback();
  });

  it('that had to wait for its owner row judges a task by its state after the wait, not before', async () => {
    const task = await database.submitOne({ partition: 0 });
    const first = await database.begin(a);
    await first.client.query('SELECT FROM partition_owner WHERE partition_id = 0 FOR UPDATE');
    await first.worker.claim();

    // Its snapshot still shows the task PENDING, and its fence holds after the wait.
    const second = a.claim();
    await database.blocked(a);
    const end = { kind: 'COMPLETED' } as const;
    await first.worker.execution.finish([{ id: task.id, attempt: 1, incarnation: a.incarnation, end }]);
    await first.commit();
    expect(await second).toMatchObject({ held: [0, 1, 2, 3], tasks: [] });
    expect(await database.tasks.get(task.id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
  });

  it('passes by a task that someone else is changing', async () => {
    const [first, second] = await database.submit(['first', 'second'], { partition: 0 });
    const other = await database.begin(a);
    await other.client.query('SELECT FROM task WHERE id = $1 FOR UPDATE', [first?.id]);
    expect((await a.claim()).tasks.map(({ id }) => id)).toEqual([second?.id]);
    await other.rollback();
    expect((await a.claim()).tasks.map(({ id }) => id)).toEqual([first?.id]);
  });

  it('its reply lost, shows what it took under its id', async () => {
    const task = await database.submitOne({ partition: 2, name: 'lost' });
    const claimId = randomUUID();
    await a.execution.claim({ claimId, workerId: 'a', held: a.held, limit: 10 });
    expect(await a.execution.running([a.incarnation])).toEqual([
      {
        id: task.id,
        name: 'lost',
        partition: 2,
        epoch: 1,
        incarnation: a.incarnation,
        attempt: 1,
        failures: 0,
        scheduledAtMs: task.scheduledAtMs,
        claimId,
        cancelRequested: false,
      },
    ]);
    expect(await a.execution.running(['another'])).toEqual([]);
  });

  it('payloads are read apart, and only of attempts that are still the reader’s', async () => {
    const payload = { deep: [1, 'two', null, { three: true }] };
    const task = await database.submitOne({ partition: 2, payload });
    const { tasks } = await a.claim();
    const mine = tasks.filter(({ id }) => id === task.id);
    expect(await a.execution.payloads(mine)).toEqual(new Map([[task.id, payload]]));
    const overtaken = mine.map((attempt) => ({ ...attempt, attempt: attempt.attempt - 1 }));
    expect(await a.execution.payloads(overtaken)).toEqual(new Map());
    const another = mine.map((attempt) => ({ ...attempt, incarnation: 'another' }));
    expect(await a.execution.payloads(another)).toEqual(new Map());
  });
});

describe('peek', () => {
  let database: DatabaseUnderTest;
  beforeAll(async () => {
    database = await DatabaseUnderTest.start();
  });
  afterAll(() => database.close());

  it('tells the earliest due time of each partition within the horizon, and the database’s time', async () => {
    const worker = await database.worker('a');
    const soon = Date.now() + 30_000;
    await database.submit(['soon'], { scheduledAtMs: soon, partition: 1 });
    await database.submit(['soon after'], { scheduledAtMs: soon + 5, partition: 1 });
    await database.submit(['far'], { scheduledAtMs: soon + 600_000, partition: 2 });
    await database.submit(['elsewhere'], { partition: 3 });

    const { due, dbNowMs } = await worker.execution.peek([0, 1, 2], 60_000);
    expect(due).toEqual([{ partition: 1, dueAtMs: soon }]);
    const { rows } = await database.pool.query<{ ms: string }>('SELECT epoch_ms(now()) AS ms');
    expect(dbNowMs).toBeLessThanOrEqual(Number(rows[0]?.ms));
    expect((await worker.execution.peek([], 60_000)).due).toEqual([]);
  });
});
