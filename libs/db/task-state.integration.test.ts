import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DatabaseUnderTest, EVERYWHERE } from '../testing/database-under-test.ts';
import type { WorkerUnderTest } from '../testing/database-under-test.ts';

describe('a task as its reader sees it', () => {
  let database: DatabaseUnderTest;
  let worker: WorkerUnderTest;
  let epoch = 0;
  beforeAll(async () => {
    database = await DatabaseUnderTest.start();
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    worker = await database.worker('w');
    await worker.own([0, 1, 2, 3], ++epoch);
  });
  afterEach(() => database.clear());

  const read = (id: number) => database.tasks.get(id);

  it('runs while a record names its next attempt: who runs it, since when, and how long the lease lasts', async () => {
    const { id } = await database.submitOne();
    const waiting = {
      status: 'PENDING',
      attempt: 0,
      workerId: null,
      startedAtMs: null,
      leaseExpiresAtMs: null,
    };
    expect(await read(id)).toMatchObject(waiting);

    const { tasks, dbNowMs } = await worker.claim();
    const { expiresAtMs } = await worker.ownership.renew('w', [worker.incarnation], 60_000);
    const running = { status: 'RUNNING', attempt: 1, workerId: 'w', startedAtMs: Math.ceil(dbNowMs) };
    expect(await read(id)).toMatchObject({ ...running, leaseExpiresAtMs: expiresAtMs, failures: 0 });

    await worker.finish(tasks, { kind: 'RETRY', delayMs: 0, error: 'again' });
    const again = { ...running, status: 'PENDING', leaseExpiresAtMs: null, failures: 1, lastError: 'again' };
    expect(await read(id)).toMatchObject(again);

    await worker.claim();
    expect(await read(id)).toMatchObject({ status: 'RUNNING', attempt: 2, failures: 1, lastError: 'again' });
  });

  it('is none but PENDING where a record names an attempt of it that has ended', async () => {
    const [x, y] = await database.submit(['x', 'y'], { partition: 0 });
    const { tasks } = await worker.claim();
    await worker.finish(tasks.slice(0, 1), { kind: 'HANDED_BACK' }, []);
    expect(await read(x?.id ?? 0)).toMatchObject({ status: 'PENDING', attempt: 1, leaseExpiresAtMs: null });
    expect(await read(y?.id ?? 0)).toMatchObject({ status: 'RUNNING', attempt: 1 });
    await worker.finish(tasks.slice(1), { kind: 'COMPLETED' }, []);
    expect(await read(y?.id ?? 0)).toMatchObject({ status: 'COMPLETED', attempt: 1, leaseExpiresAtMs: null });
  });

  it('goes from RUNNING to how it has ended at one moment, when its record goes as well', async () => {
    for (const { end, status } of [
      { end: { kind: 'COMPLETED' }, status: 'COMPLETED' },
      { end: { kind: 'FAILED', error: 'no' }, status: 'FAILED' },
      { end: { kind: 'HANDED_BACK' }, status: 'PENDING' },
    ] as const) {
      const { id } = await database.submitOne();
      const { tasks } = await worker.claim();
      const outcome = await database.begin(worker);
      await outcome.worker.finish(tasks, end);
      expect(await read(id)).toMatchObject({ status: 'RUNNING', attempt: 1 });
      await outcome.commit();
      expect(await read(id)).toMatchObject({ status, attempt: 1 });
      await database.clear();
    }
  });

  it('does not run for what a record of another partition says', async () => {
    const { id } = await database.submitOne({ partition: 0 });
    await database.pool.query(
      `INSERT INTO claim_record (partition_id, id, claim_id, incarnation, worker_id, epoch, task_ids, attempts)
       VALUES (1, 1, $1, 'x', 'x', 1, $2, '{1}')`,
      [randomUUID(), [id]],
    );
    expect(await read(id)).toMatchObject({ status: 'PENDING' });
  });

  it('runs without a lease where the claimer’s session is gone', async () => {
    const { id } = await database.submitOne();
    await worker.claim();
    await database.pool.query('DELETE FROM worker_session WHERE incarnation = $1', [worker.incarnation]);
    expect(await read(id)).toMatchObject({ status: 'RUNNING', workerId: 'w', leaseExpiresAtMs: null });
  });

  describe('when removed', () => {
    it('that waits or has ended is gone, and unknown afterwards', async () => {
      const waiting = await database.submitOne({ scheduledAtMs: Date.now() + 60_000 });
      const ended = await database.submitOne();
      await worker.finish((await worker.claim()).tasks);
      for (const { id } of [waiting, ended]) {
        expect(await database.tasks.remove(id)).toBe('removed');
        expect(await database.tasks.remove(id)).toBe('unknown');
        expect(await read(id)).toBeNull();
      }
      expect(await database.tasks.remove(Number.MAX_SAFE_INTEGER)).toBe('unknown');
    });

    it('that runs goes on as a request', async () => {
      const { id } = await database.submitOne();
      await worker.claim();
      expect(await database.tasks.remove(id)).toBe('cancelling');
      expect(await read(id)).toMatchObject({ status: 'RUNNING', workerId: 'w' });
      expect(await worker.execution.running([worker.incarnation], EVERYWHERE)).toMatchObject([
        { id, cancelRequested: true },
      ]);
    });

    it('that has ended while its record still stands is gone', async () => {
      const [x, y] = await database.submit(['x', 'y', 'z'], { partition: 0 });
      const { tasks } = await worker.claim();
      await worker.finish(tasks.slice(0, 1), { kind: 'HANDED_BACK' }, []);
      await worker.finish(tasks.slice(1, 2), { kind: 'COMPLETED' }, []);
      for (const task of [x, y]) expect(await database.tasks.remove(task?.id ?? 0)).toBe('removed');
      expect(await worker.execution.running([worker.incarnation], EVERYWHERE)).toMatchObject([{ name: 'z' }]);
    });

    it('while its outcome is being recorded: waits for it, and removes the ended task', async () => {
      const { id } = await database.submitOne({ partition: 0 });
      const { tasks } = await worker.claim();
      const outcome = await database.begin(worker);
      await outcome.worker.finish(tasks);
      const removal = database.tasks.remove(id);
      await database.blocked({ applicationName: 'test' });
      await outcome.commit();
      expect(await removal).toBe('removed');
    });

    it('while it is handed back: waits for it, and removes the waiting task, which nobody claims', async () => {
      const { id } = await database.submitOne({ partition: 0 });
      const { tasks } = await worker.claim();
      const outcome = await database.begin(worker);
      await outcome.worker.finish(tasks, { kind: 'HANDED_BACK' });
      const removal = database.tasks.remove(id);
      await database.blocked({ applicationName: 'test' });
      await outcome.commit();
      // The removal holds the owner row: no claim can come between.
      expect(await removal).toBe('removed');
      expect((await worker.claim()).tasks).toEqual([]);
    });

    it('twice at once is removed once', async () => {
      const { id } = await database.submitOne();
      const results = await Promise.all([1, 2, 3].map(() => database.tasks.remove(id)));
      expect(results.toSorted()).toEqual(['removed', 'unknown', 'unknown']);
    });
  });
});
