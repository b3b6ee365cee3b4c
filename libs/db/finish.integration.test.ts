import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DatabaseUnderTest, EVERYWHERE } from '../testing/database-under-test.ts';
import type { WorkerUnderTest } from '../testing/database-under-test.ts';
import type { AttemptEnd, ClaimedTask } from './stores.ts';

const COMPLETED: AttemptEnd = { kind: 'COMPLETED' };

describe('finish', () => {
  let database: DatabaseUnderTest;
  let a: WorkerUnderTest;
  let epoch = 0;
  beforeAll(async () => {
    database = await DatabaseUnderTest.start();
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    a = await database.worker('a');
    await a.own([0, 1, 2, 3], ++epoch);
  });
  afterEach(() => database.clear());

  /** A task of `a`'s that runs. */
  async function running(): Promise<ClaimedTask[]> {
    const { id } = await database.submitOne();
    const { tasks } = await a.claim();
    expect(tasks.map((task) => task.id)).toEqual([id]);
    return tasks;
  }

  it('records each kind of end, in the order of the batch', async () => {
    await database.submit(['completed', 'retry', 'failed', 'handed back']);
    const { tasks } = await a.claim();
    const ends: AttemptEnd[] = [
      COMPLETED,
      { kind: 'RETRY', delayMs: 3_600_000, error: 'again' },
      { kind: 'FAILED', error: 'enough' },
      { kind: 'HANDED_BACK' },
    ];
    const outcomes = tasks.map((task, index) => a.outcome(task, ends[index]));
    const foreign = outcomes.slice(0, 1).map((outcome) => ({ ...outcome, attempt: 2 }));
    expect(await a.execution.finish([...foreign, ...outcomes.toReversed()], tasks)).toEqual([
      'refused',
      ...outcomes.map(() => 'recorded'),
    ]);

    const records = await Promise.all(outcomes.map(({ id }) => database.tasks.get(id)));
    expect(records).toMatchObject([
      { status: 'COMPLETED', failures: 0, lastError: null },
      { status: 'PENDING', failures: 1, lastError: 'again', completedAtMs: null },
      { status: 'FAILED', failures: 1, lastError: 'enough' },
      { status: 'PENDING', failures: 0, lastError: null, completedAtMs: null },
    ]);
    expect(records[0]?.completedAtMs).toBeGreaterThanOrEqual(records[0]?.startedAtMs ?? Infinity);
    // What was handed back is due at once; the retry is not.
    expect((await a.claim()).tasks).toMatchObject([{ name: 'handed back', attempt: 2, failures: 0 }]);
  });

  it('keeps a retry from its scheduled time, should the clock have been set back meanwhile', async () => {
    const first = await running();
    await database.pool.query(`UPDATE task SET scheduled_at = now() + interval '1 hour'`);
    await a.finish(first, { kind: 'RETRY', delayMs: 0, error: 'first' });
    expect((await a.claim()).tasks).toEqual([]);
  });

  it('counts failures over attempts, and the next attempt is another', async () => {
    const first = await running();
    await a.finish(first, { kind: 'RETRY', delayMs: 0, error: 'first' });
    const second = (await a.claim()).tasks;
    expect(second).toMatchObject([{ id: first[0]?.id, attempt: 2, failures: 1 }]);
    const end = { kind: 'FAILED', error: 'second' } as const;
    // The outcome of the attempt before is foreign by now.
    expect(await a.finish([...first, ...second], end)).toEqual(['refused', 'recorded']);
    expect(await database.tasks.get(first[0]?.id ?? 0)).toMatchObject({
      status: 'FAILED',
      attempt: 2,
      failures: 2,
      lastError: 'second',
    });
  });

  it('writes down who ran the attempt, since when', async () => {
    const tasks = await running();
    const before = await database.tasks.get(tasks[0]?.id ?? 0);
    await a.finish(tasks);
    const after = await database.tasks.get(tasks[0]?.id ?? 0);
    expect(after).toMatchObject({ workerId: 'a', startedAtMs: before?.startedAtMs, leaseExpiresAtMs: null });
    expect(before?.startedAtMs).toBe(Math.ceil(tasks[0]?.claimedAtMs ?? 0));
  });

  it.each<AttemptEnd>([
    COMPLETED,
    { kind: 'RETRY', delayMs: 60_000, error: 'again' },
    { kind: 'FAILED', error: 'enough' },
    { kind: 'HANDED_BACK' },
  ])('its reply lost, repeated is recorded and changes nothing: $kind', async (end) => {
    const tasks = await running();
    expect(await a.finish(tasks, end)).toEqual(['recorded']);
    const before = await database.row(tasks[0]?.id ?? 0);
    expect(await a.finish(tasks, end)).toEqual(['recorded']);
    expect(await database.row(tasks[0]?.id ?? 0)).toEqual(before);
  });

  it('repeated while the next attempt runs, is recorded and leaves that alone', async () => {
    const first = await running();
    await a.finish(first, { kind: 'HANDED_BACK' });
    const b = await database.worker('b');
    await b.own([0, 1, 2, 3], ++epoch);
    const second = (await b.claim()).tasks;
    expect(await a.finish(first, { kind: 'HANDED_BACK' })).toEqual(['recorded']);
    expect(await database.row(first[0]?.id ?? 0)).toMatchObject({
      status: 'RUNNING',
      attempt: 2,
      failures: 0,
    });
    expect(await b.finish(second)).toEqual(['recorded']);
    expect(await a.finish(first, { kind: 'HANDED_BACK' })).toEqual(['refused']);
  });

  it('repeated while the first is still under way, waits for it and is recorded', async () => {
    const tasks = await running();
    const end = { kind: 'RETRY', delayMs: 60_000, error: 'once' } as const;
    const open = await database.begin(a);
    expect(await open.worker.finish(tasks, end)).toEqual(['recorded']);
    const again = a.finish(tasks, end);
    await database.blocked(a);
    await open.commit();
    expect(await again).toEqual(['recorded']);
    expect(await database.tasks.get(tasks[0]?.id ?? 0)).toMatchObject({ failures: 1 });
  });

  it('counts after the partition has moved: it is fenced by the attempt, not by ownership', async () => {
    const tasks = await running();
    const b = await database.worker('b');
    await b.own([0, 1, 2, 3], ++epoch);
    expect(await a.finish(tasks)).toEqual(['recorded']);
  });

  it('does not wait for a claim or an acquire of its partition', async () => {
    const tasks = await running();
    const open = await database.begin(a);
    await open.client.query('SELECT FROM partition_owner FOR UPDATE');
    expect(await a.finish(tasks)).toEqual(['recorded']);
    await open.rollback();
  });

  it('wakes the owner of what waits again and is due soon, and of nothing else', async () => {
    const tasks = await running();
    const { partitionId, scheduledAtMs } = (await database.tasks.get(tasks[0]?.id ?? 0)) ?? {};
    const listener = await database.begin(a);
    const heard: (string | undefined)[] = [];
    listener.client.on('notification', ({ payload }) => heard.push(payload));
    await listener.client.query('LISTEN task_due');
    await listener.commit();

    await a.finish(tasks, { kind: 'HANDED_BACK' });
    await a.finish((await a.claim()).tasks, { kind: 'RETRY', delayMs: 60_000, error: '' });
    await listener.client.query('SELECT 1');
    expect(heard).toEqual([`${scheduledAtMs}:${partitionId}`]);
  });

  it('cuts and cleans the text of an error so that the column takes it', async () => {
    const tasks = await running();
    expect(await a.finish(tasks, { kind: 'FAILED', error: `a\0b${'x'.repeat(10_000)}` })).toEqual([
      'recorded',
    ]);
    const { id = 0 } = tasks[0] ?? {};
    expect((await database.tasks.get(id))?.lastError).toMatch(/^a\uFFFDbx{1997}$/);
    expect(await database.tasks.retry(id)).toBe('retried');
    const error = { name: 'n'.repeat(10_000), message: 'm'.repeat(10_000), stack: 's'.repeat(10_000) };
    await a.finish((await a.claim()).tasks, { kind: 'FAILED', error });
    expect((await database.tasks.attempts(id))?.[0]?.error).toEqual({
      ...{ name: 'n'.repeat(200), message: 'm'.repeat(2_000), stack: 's'.repeat(8_000) },
    });
  });

  describe('and the record of the claim', () => {
    it('goes with the last outcome only; until then the others of it run', async () => {
      await database.submit(['x', 'y', 'z'], { partition: 0 });
      const { tasks } = await a.claim();
      const [x, y, z] = tasks as [ClaimedTask, ClaimedTask, ClaimedTask];
      expect(await a.finish([y], COMPLETED, [])).toEqual(['recorded']);
      expect(await a.finish([x], { kind: 'HANDED_BACK' }, [])).toEqual(['recorded']);
      expect(await database.records()).toEqual({ 0: [3] });
      expect(await a.execution.running([a.incarnation], EVERYWHERE)).toMatchObject([
        { id: z.id, attempt: 1 },
      ]);
      // What waits again does so though a record names an attempt of it.
      expect((await a.claim()).tasks).toMatchObject([{ id: x.id, attempt: 2 }]);
      expect(await a.finish([z])).toEqual(['recorded']);
      expect(await database.records()).toEqual({ 0: [1] });
      expect(await a.execution.running([a.incarnation], EVERYWHERE)).toMatchObject([
        { id: x.id, attempt: 2 },
      ]);
    });

    it('goes by partition: those of the same claim elsewhere stay', async () => {
      await database.submit(['x'], { partition: 0 });
      await database.submit(['y'], { partition: 1 });
      const { tasks } = await a.claim();
      await a.finish(tasks.slice(0, 1));
      expect(await database.records()).toEqual({ 1: [1] });
      expect(await database.row(tasks[1]?.id ?? 0)).toMatchObject({ status: 'RUNNING' });
    });

    it('may go without any outcome, as all have been recorded before', async () => {
      const tasks = await running();
      await a.finish(tasks, COMPLETED, []);
      expect(await a.finish([], COMPLETED, tasks)).toEqual([]);
      expect(await database.records()).toEqual({});
    });
  });

  describe('when removal was requested', () => {
    it.each<AttemptEnd>([COMPLETED, { kind: 'RETRY', delayMs: 0, error: 'again' }, { kind: 'HANDED_BACK' }])(
      'the task goes, however the attempt ended: $kind',
      async (end) => {
        const tasks = await running();
        const [{ id } = { id: 0 }] = tasks;
        expect(await database.tasks.remove(id)).toBe('cancelling');
        expect(await database.tasks.remove(id)).toBe('cancelling');
        expect(await a.execution.running([a.incarnation], EVERYWHERE)).toMatchObject([
          { cancelRequested: true },
        ]);

        expect(await a.finish(tasks, end)).toEqual(['recorded']);
        expect(await database.tasks.get(id)).toBeNull();
        expect(await database.records()).toEqual({});
        // The reply lost, the same again.
        expect(await a.finish(tasks, end)).toEqual(['recorded']);
      },
    );

    it('and the request is not yet committed, the outcome waits for it, and the task goes', async () => {
      const tasks = await running();
      const request = await database.begin(await database.worker('api'));
      await request.client.query('SELECT remove_task($1)', [tasks[0]?.id]);
      const finished = a.finish(tasks, { kind: 'RETRY', delayMs: 0, error: 'again' });
      await database.blocked(a);
      await request.commit();
      expect(await finished).toEqual(['recorded']);
      expect(await database.tasks.get(tasks[0]?.id ?? 0)).toBeNull();
      expect((await a.claim()).tasks).toEqual([]);
    });

    it('wakes nobody for what goes', async () => {
      const tasks = await running();
      await database.tasks.remove(tasks[0]?.id ?? 0);
      const listener = await database.begin(a);
      const heard: (string | undefined)[] = [];
      listener.client.on('notification', ({ payload }) => heard.push(payload));
      await listener.client.query('LISTEN task_due');
      await listener.commit();
      await a.finish(tasks, { kind: 'HANDED_BACK' });
      await listener.client.query('SELECT 1');
      expect(heard).toEqual([]);
    });
  });
});
