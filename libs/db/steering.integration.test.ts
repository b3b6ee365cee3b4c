/** What users do to a task that stands already: cancel, retry, run and change it. */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DatabaseUnderTest, EVERYWHERE } from '../testing/database-under-test.ts';
import type { WorkerUnderTest } from '../testing/database-under-test.ts';
import type { AttemptEnd, ClaimedTask } from './stores.ts';

const FAILED: AttemptEnd = { kind: 'FAILED', error: 'enough' };

describe('a task', () => {
  let database: DatabaseUnderTest;
  let a: WorkerUnderTest;
  let id: number;
  let epoch = 0;
  beforeAll(async () => {
    database = await DatabaseUnderTest.start();
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    a = await database.worker('a');
    await a.own([0, 1, 2, 3], ++epoch);
    ({ id } = await database.submitOne({ payload: 'as submitted' }));
  });
  afterEach(() => database.clear());

  const task = () => database.tasks.get(id);
  const claim = async () => (await a.claim()).tasks;
  const end = async (how: AttemptEnd) => a.finish(await claim(), how);

  describe('that waits', () => {
    it('can be cancelled, and is claimed no more', async () => {
      expect(await database.tasks.cancel(id)).toBe('cancelled');
      expect(await task()).toMatchObject({ status: 'CANCELLED', attempt: 0, revision: 1 });
      expect((await task())?.completedAtMs).not.toBeNull();
      expect(await claim()).toEqual([]);
      expect(await database.tasks.cancel(id)).toBe('cancelled');
      expect(await task()).toMatchObject({ revision: 1 });
    });

    it('cannot be retried', async () => {
      expect(await database.tasks.retry(id)).toBe('waiting');
      expect(await task()).toMatchObject({ revision: 0 });
    });

    it('for a later time can be run now, and its retries count from now on', async () => {
      expect(await database.tasks.patch(id, { delayMs: 3_600_000 })).toBe('patched');
      expect(await claim()).toEqual([]);
      expect(await database.tasks.run(id)).toBe('due');
      await end({ kind: 'RETRY', delayMs: 0, error: 'again' });
      expect(await claim()).toMatchObject([{ id, attempt: 2 }]);
    });

    it('for its next attempt can be run now', async () => {
      await end({ kind: 'RETRY', delayMs: 3_600_000, error: 'again' });
      expect(await claim()).toEqual([]);
      expect(await database.tasks.run(id)).toBe('due');
      expect(await claim()).toMatchObject([{ id, attempt: 2, failures: 1 }]);
    });

    it('can be changed, one thing or several', async () => {
      const at = Date.now() + 3_600_000;
      expect(await database.tasks.patch(id, { scheduledAtMs: at })).toBe('patched');
      expect(await task()).toMatchObject({ scheduledAtMs: at, payload: 'as submitted', revision: 1 });
      expect(await claim()).toEqual([]);
      const change = { payload: null, maxAttempts: 2, priority: 7, scheduledAtMs: 0 };
      expect(await database.tasks.patch(id, change)).toBe('patched');
      expect(await task()).toMatchObject({
        ...{ scheduledAtMs: 0, payload: null, priority: 7, revision: 2 },
        policy: { maxAttempts: 2 },
      });
      expect(await claim()).toMatchObject([{ id, payload: null, priority: 7, policy: { maxAttempts: 2 } }]);
    });

    it('keeps of its policy what is not changed', async () => {
      const backoff = { baseMs: 1, maxMs: 2, factor: 3 };
      const { id: other } = await database.submitOne({ policy: { backoff, timeoutMs: 5 } });
      await database.tasks.patch(other, { maxAttempts: 9 });
      expect(await database.tasks.get(other)).toMatchObject({
        policy: { backoff, timeoutMs: 5, maxAttempts: 9 },
      });
    });

    it('is changed only while it is of the version that is meant', async () => {
      expect(await database.tasks.patch(id, { payload: 1 }, ['0.1', '1.0'])).toBe('changed');
      expect(await database.tasks.patch(id, { payload: 1 }, [])).toBe('changed');
      expect(await task()).toMatchObject({ payload: 'as submitted', revision: 0 });
      expect(await database.tasks.patch(id, { payload: 1 }, ['9.9', '0.0'])).toBe('patched');
      expect(await database.tasks.patch(id, { payload: 2 }, ['0.0'])).toBe('changed');
      await end({ kind: 'HANDED_BACK' });
      expect(await database.tasks.patch(id, { payload: 3 }, ['1.0'])).toBe('changed');
      // As it was read while that attempt ran.
      expect(await database.tasks.patch(id, { payload: 3 }, ['1.1+'])).toBe('changed');
      expect(await database.tasks.patch(id, { payload: 3 }, ['1.1'])).toBe('patched');
    });
  });

  describe('that runs', () => {
    let running: ClaimedTask[];
    beforeEach(async () => {
      running = await claim();
      expect(running).toHaveLength(1);
    });

    it.each<[string, AttemptEnd, string]>([
      ['fails', FAILED, 'CANCELLED'],
      ['is to be retried', { kind: 'RETRY', delayMs: 0, error: 'again' }, 'CANCELLED'],
      ['is handed back', { kind: 'HANDED_BACK' }, 'CANCELLED'],
      ['has done its work all the same', { kind: 'COMPLETED' }, 'COMPLETED'],
    ])('and is cancelled, ends when its attempt does: it %s', async (_, how, status) => {
      expect(await database.tasks.cancel(id)).toBe('cancelling');
      expect(await database.tasks.cancel(id)).toBe('cancelling');
      expect(await task()).toMatchObject({ status: 'RUNNING', revision: 1 });
      expect(await a.execution.running([a.incarnation], EVERYWHERE)).toMatchObject([
        { id, cancelRequested: true },
      ]);
      expect(await a.finish(running, how)).toEqual(['recorded']);
      expect(await task()).toMatchObject({ status, attempt: 1 });
      expect((await task())?.completedAtMs).not.toBeNull();
      expect(await claim()).toEqual([]);
    });

    it('and is cancelled, ends so where its worker is lost', async () => {
      await database.tasks.cancel(id);
      const b = await database.worker('b');
      await b.own([0, 1, 2, 3], ++epoch);
      await database.expireLease(a);
      const recovered = await b.execution.recover({ held: b.held, own: [], jitter: 0 });
      expect(recovered).toMatchObject([{ id, became: 'CANCELLED' }]);
      expect(await task()).toMatchObject({ status: 'CANCELLED', attempt: 1 });
    });

    it('and is cancelled and then removed, is gone with its attempt; and so the other way round', async () => {
      await database.tasks.cancel(id);
      expect(await database.tasks.remove(id)).toBe('cancelling');
      await a.finish(running);
      expect(await task()).toBeNull();

      ({ id } = await database.submitOne());
      running = await claim();
      await database.tasks.remove(id);
      expect(await database.tasks.cancel(id)).toBe('cancelling');
      await a.finish(running, FAILED);
      expect(await task()).toBeNull();
    });

    it('can be neither changed nor run nor retried', async () => {
      expect(await database.tasks.patch(id, { payload: 1 })).toBe('running');
      expect(await database.tasks.patch(id, { payload: 1 }, ['0.0'])).toBe('running');
      expect(await database.tasks.run(id)).toBe('running');
      expect(await database.tasks.retry(id)).toBe('running');
      expect(await task()).toMatchObject({ payload: 'as submitted', revision: 0 });
    });

    it('and is cancelled or removed, is told to whoever listens', async () => {
      const listener = new pg.Client({ connectionString: database.url });
      await listener.connect();
      const heard: unknown[] = [];
      listener.on('notification', ({ payload }) => heard.push(payload));
      await listener.query('LISTEN task_cancel');
      await database.tasks.cancel(id);
      await database.tasks.remove(id);
      await listener.query('SELECT 1');
      await listener.end();
      expect(heard).toEqual([`${id}:1`, `${id}:1`]);
    });
  });

  describe('that has ended', () => {
    it('otherwise than by being cancelled, cannot be; nor be changed or run', async () => {
      await end({ kind: 'COMPLETED' });
      expect(await database.tasks.cancel(id)).toBe('ended');
      expect(await database.tasks.retry(id)).toBe('completed');
      expect(await database.tasks.run(id)).toBe('completed');
      expect(await database.tasks.patch(id, { payload: 1 })).toBe('completed');
      expect(await task()).toMatchObject({ status: 'COMPLETED', revision: 0 });
    });

    it('as FAILED can be retried: its failures are forgiven, its attempts counted on', async () => {
      await end({ kind: 'RETRY', delayMs: 0, error: 'once' });
      await end(FAILED);
      expect(await database.tasks.patch(id, { payload: 1 })).toBe('failed');
      expect(await database.tasks.retry(id)).toBe('retried');
      expect(await task()).toMatchObject({ status: 'PENDING', failures: 0, attempt: 2, completedAtMs: null });
      expect(await claim()).toMatchObject([{ id, attempt: 3, failures: 0 }]);
    });

    it('as CANCELLED can be retried, and completes', async () => {
      const running = await claim();
      await database.tasks.cancel(id);
      await a.finish(running, FAILED);
      expect(await database.tasks.run(id)).toBe('cancelled');
      expect(await database.tasks.retry(id)).toBe('retried');
      await end({ kind: 'COMPLETED' });
      expect(await task()).toMatchObject({ status: 'COMPLETED', attempt: 2 });
    });
  });

  it('that is not there is unknown', async () => {
    await database.clear();
    expect(await database.tasks.cancel(id)).toBe('unknown');
    expect(await database.tasks.retry(id)).toBe('unknown');
    expect(await database.tasks.run(id)).toBe('unknown');
    expect(await database.tasks.patch(id, { payload: 1 })).toBe('unknown');
  });

  describe('while a claim of it is under way', () => {
    it.each([
      ['cancel', 'cancelling'],
      ['run', 'running'],
      ['patch', 'running'],
    ] as const)('waits for it: %s', async (what, result) => {
      const open = await database.begin(a);
      expect((await open.worker.claim()).tasks).toHaveLength(1);
      const user = await database.begin(await database.worker('api'));
      const changed = what === 'patch' ? user.tasks.patch(id, { payload: 1 }) : user.tasks[what](id);
      await database.blocked({ applicationName: user.worker.applicationName });
      await open.commit();
      expect(await changed).toBe(result);
      await user.commit();
    });

    it.each(['cancel', 'patch'] as const)('makes it wait, where it came first: %s', async (what) => {
      const user = await database.begin(await database.worker('api'));
      if (what === 'cancel') await user.tasks.cancel(id);
      else await user.tasks.patch(id, { delayMs: 3_600_000 });
      const claimed = claim();
      await database.blocked(a);
      await user.commit();
      expect(await claimed).toEqual([]);
    });

    it('makes it wait, where it came first, and is claimed by it: run', async () => {
      await database.tasks.patch(id, { delayMs: 3_600_000 });
      const user = await database.begin(await database.worker('api'));
      expect(await user.tasks.run(id)).toBe('due');
      const claimed = claim();
      await database.blocked(a);
      await user.commit();
      expect(await claimed).toMatchObject([{ id, attempt: 1 }]);
    });
  });

  describe('with a priority', () => {
    const claimedNames = async (limit?: number) => (await a.claim(limit)).tasks.map(({ name }) => name);

    it('is claimed before what was due earlier in its partition, the highest first', async () => {
      const at = (name: string, priority: number, scheduledAtMs: number) =>
        database.submitOne({ name, priority, scheduledAtMs, partition: 0 });
      const now = Date.now();
      await at('usual', 0, now - 9_000);
      await at('low', 1, now - 5_000);
      await at('high', 9, now - 1_000);
      await at('high, later', 9, now - 1_000);
      await at('high, not due', 9, now + 3_600_000);
      const held = a.held.filter(({ partition }) => partition === 0);
      expect((await a.claim(3, held)).tasks.map(({ name }) => name)).toEqual(['high', 'high, later', 'low']);
      expect(await claimedNames()).toContain('usual');
      expect(await claimedNames()).toEqual([]);
    });

    it('is taken of each partition no more than its share, however it is spread', async () => {
      const [earlier] = (await a.claim()).tasks;
      const spread = { 0: [9, 9, 9, 0], 1: [5, 5, 0, 0], 2: [0, 0, 0, 0] };
      for (const [partition, priorities] of Object.entries(spread))
        for (const [index, priority] of priorities.entries())
          await database.submitOne({
            name: `${partition}${priority}${index}`,
            priority,
            partition: Number(partition),
          });
      const held = a.held.filter(({ partition }) => partition <= 2);
      // Three of each partition at most; and of all, in the middle of those without a priority, seven.
      const claim = await a.claim(7, held);
      const names = claim.tasks.map(({ name }) => name);
      expect(names.slice(0, 5)).toEqual(['090', '091', '092', '150', '151']);
      expect(names.slice(5)).toEqual(['102', '200']);
      const oldest = held.map(
        ({ partition }) => (partition === earlier?.partition ? earlier : claim.tasks[0])?.record,
      );
      expect(claim.oldestRecords).toEqual(oldest);
      // What was left, the oldest first; what runs is looked for from its records on.
      const again = await a.claim(
        100,
        held.map((part, index) => ({ ...part, oldestRecord: oldest[index] })),
      );
      expect(again.tasks.map(({ name }) => name)).toEqual(['003', '103', '201', '202', '203']);
      expect(again.oldestRecords).toEqual(oldest);
    });

    it('is found wherever claims of the others have got to', async () => {
      expect(await claimedNames()).toEqual(['task']);
      await database.submitOne({ name: 'urgent', priority: 5, partition: 2 });
      const beyond = a.held.map((held) => ({ ...held, after: { dueAtMs: Date.now() + 1_000_000, id: 1 } }));
      const { due } = await a.execution.peek(beyond, 1_000, [a.incarnation]);
      expect(due).toMatchObject([{ partition: 2 }]);
      expect((await a.claim(10, beyond)).tasks).toMatchObject([{ name: 'urgent', priority: 5 }]);
    });
  });
});
