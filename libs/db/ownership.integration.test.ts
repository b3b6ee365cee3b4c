import type { Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DatabaseUnderTest } from '../testing/database-under-test.ts';
import type { WorkerUnderTest } from '../testing/database-under-test.ts';
import { eventually } from '../testing/eventually.ts';
import { StoreUnavailableError } from './stores.ts';

describe('ownership', () => {
  let database: DatabaseUnderTest;
  let a: WorkerUnderTest;
  let b: WorkerUnderTest;
  beforeAll(async () => {
    database = await DatabaseUnderTest.start();
  });
  afterAll(() => database.close());
  afterEach(() => database.endTransactions());
  beforeEach(async () => {
    await database.pool.query(
      'UPDATE partition_owner SET epoch = 0, owner = NULL, incarnation = NULL, acquired_at = NULL',
    );
    await database.clear();
    await database.pool.query('DELETE FROM worker_session');
    a = await database.worker('a');
    b = await database.worker('b');
  });

  const acquire = (worker: WorkerUnderTest, grants: Record<number, number>, lockTimeoutMs = 10_000) =>
    worker.ownership.acquire({
      workerId: worker.id,
      incarnation: worker.incarnation,
      grants: Object.entries(grants).map(([partition, epoch]) => ({ partition: Number(partition), epoch })),
      lockTimeoutMs,
    });
  const owners = async () =>
    (await database.tasks.cluster()).partitions.map(({ owner, epoch }) => [owner, epoch]);

  describe('acquire', () => {
    it('takes what stands at a lower epoch', async () => {
      expect(await acquire(a, { 0: 1, 2: 5 })).toEqual({
        owned: [
          { partition: 0, epoch: 1 },
          { partition: 2, epoch: 5 },
        ],
        fenced: [],
      });
      expect(await owners()).toEqual([
        ['a', 1],
        [null, 0],
        ['a', 5],
        [null, 0],
      ]);
    });

    it('repeated, as after a lost reply, is the same', async () => {
      const first = await acquire(a, { 0: 1, 1: 1 });
      expect(await acquire(a, { 0: 1, 1: 1 })).toEqual(first);
    });

    it('reports as fenced, with the epoch that stands, what stands higher or as high under another', async () => {
      await acquire(a, { 0: 3, 1: 3 });
      expect(await acquire(b, { 0: 2, 1: 3, 2: 1 })).toEqual({
        owned: [{ partition: 2, epoch: 1 }],
        fenced: [
          { partition: 0, epoch: 3 },
          { partition: 1, epoch: 3 },
        ],
      });
      expect(await owners()).toEqual([
        ['a', 3],
        ['a', 3],
        ['b', 1],
        [null, 0],
      ]);
    });

    it('does not take back under its own epoch what it has released', async () => {
      await acquire(a, { 0: 1 });
      await a.ownership.release(a.incarnation, [{ partition: 0, epoch: 1 }]);
      expect(await acquire(a, { 0: 1 })).toEqual({ owned: [], fenced: [{ partition: 0, epoch: 1 }] });
      expect(await acquire(a, { 0: 2 })).toMatchObject({ owned: [{ partition: 0, epoch: 2 }] });
    });

    it('of two incarnations of one worker under one epoch, takes the first for the owner', async () => {
      await acquire(a, { 0: 1 });
      const next = await database.worker('a');
      expect(await acquire(next, { 0: 1 })).toMatchObject({
        owned: [],
        fenced: [{ partition: 0, epoch: 1 }],
      });
    });

    it.each([
      { first: 1, second: 2, then: { owned: [{ partition: 0, epoch: 2 }], fenced: [] }, owner: 'b' },
      { first: 2, second: 1, then: { owned: [], fenced: [{ partition: 0, epoch: 2 }] }, owner: 'a' },
    ])(
      'of two at once, the higher epoch wins: $first, then $second',
      async ({ first, second, then, owner }) => {
        const open = await database.begin(a);
        await open.worker.own([0], first);
        const waiting = acquire(b, { 0: second });
        await database.blocked(b);
        await open.commit();
        expect(await waiting).toEqual(then);
        expect((await owners())[0]).toEqual([owner, 2]);
      },
    );

    it('of many rows in different order, never ends in a deadlock', async () => {
      for (let epoch = 1; epoch <= 25; epoch++) {
        const grants = [3, 1, 2, 0].map((partition) => ({ partition, epoch }));
        const results = await Promise.all(
          [a, b].map((worker, index) =>
            worker.ownership.acquire({
              workerId: worker.id,
              incarnation: worker.incarnation,
              grants: index === 0 ? grants : grants.toReversed(),
              lockTimeoutMs: 10_000,
            }),
          ),
        );
        expect(results.map(({ owned }) => owned.length).toSorted()).toEqual([0, 4]);
      }
    });

    it('held up by a claim of a frozen worker, ends that claim’s backend after the lock timeout', async () => {
      await a.own([0, 1], 1);
      const task = await database.submitOne({ partition: 0 });
      const frozen = await database.begin(a);
      expect((await frozen.worker.claim()).tasks).toHaveLength(1);

      expect(await acquire(b, { 0: 2, 1: 2 }, 100)).toMatchObject({ fenced: [] });
      await expect(frozen.commit()).rejects.toThrow();
      expect(await database.tasks.get(task.id)).toMatchObject({ status: 'PENDING', attempt: 0 });
      expect(await owners()).toEqual([
        ['b', 2],
        ['b', 2],
        [null, 0],
        [null, 0],
      ]);
    });

    it('held up by a backend that hangs sending to a process that no longer reads, ends it as well', async () => {
      await a.own([0], 1);
      const frozen = await database.begin(a);
      const { stream } = (frozen.client as unknown as { connection: { stream: Socket } }).connection;
      stream.pause();
      const reply = frozen.client
        .query(`SELECT repeat('x', 100000000) FROM partition_owner WHERE partition_id = 0 FOR SHARE`)
        .catch((error: unknown) => error);
      await eventually(
        'its backend hangs',
        async () => {
          const { rowCount } = await database.pool.query(
            `SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'ClientWrite'`,
            [a.applicationName],
          );
          return rowCount === 1;
        },
        { withinMs: 10_000 },
      );

      expect(await acquire(b, { 0: 2 }, 100)).toEqual({ owned: [{ partition: 0, epoch: 2 }], fenced: [] });
      stream.resume();
      expect(await reply).toBeInstanceOf(Error);
    });

    it('held up by anyone else, ends nobody and rejects after its attempts', async () => {
      await a.own([0], 1);
      const administrator = await database.worker('administrator');
      const open = await database.begin(administrator);
      await open.client.query('SELECT FROM partition_owner WHERE partition_id = 0 FOR UPDATE');
      await expect(acquire(b, { 0: 2, 1: 2 }, 50)).rejects.toThrow(StoreUnavailableError);
      await open.commit();
      expect(await acquire(b, { 0: 2, 1: 2 }, 50)).toMatchObject({ fenced: [] });
    });

    it('leaves the connection’s own lock timeout as it was', async () => {
      const open = await database.begin(a);
      await open.rollback();
      await open.worker.own([0], 1, 50);
      const { rows } = await open.client.query('SHOW lock_timeout');
      expect(rows).toEqual([{ lock_timeout: '0' }]);
    });
  });

  describe('release', () => {
    it('clears the owner, keeps the epoch, and is idempotent', async () => {
      await a.own([0, 1], 4);
      for (let time = 1; time <= 2; time++) {
        await a.ownership.release(a.incarnation, [{ partition: 0, epoch: 4 }]);
        expect(await owners()).toEqual([
          [null, 4],
          ['a', 4],
          [null, 0],
          [null, 0],
        ]);
      }
    });

    it('leaves alone what is another’s or stands at another epoch', async () => {
      await a.own([0, 1], 1);
      await b.own([0], 2);
      await a.ownership.release(a.incarnation, [
        { partition: 0, epoch: 1 },
        { partition: 1, epoch: 7 },
      ]);
      expect(await owners()).toEqual([
        ['b', 2],
        ['a', 1],
        [null, 0],
        [null, 0],
      ]);
    });

    it('waits for a claim in flight, so that none commits after it', async () => {
      await a.own([0], 1);
      await database.submitOne({ partition: 0 });
      const claim = await database.begin(a);
      await claim.worker.claim();
      let released = false;
      const release = a.ownership
        .release(a.incarnation, [{ partition: 0, epoch: 1 }])
        .then(() => (released = true));
      await database.blocked(a);
      expect(released).toBe(false);
      await claim.commit();
      await release;
      expect((await owners())[0]).toEqual([null, 1]);
    });

    it('behind a higher epoch, leaves the new owner alone', async () => {
      await a.own([0], 1);
      const bump = await database.begin(b);
      await bump.worker.own([0], 2);
      const release = a.ownership.release(a.incarnation, [{ partition: 0, epoch: 1 }]);
      await database.blocked(a);
      await bump.commit();
      await release;
      expect((await owners())[0]).toEqual(['b', 2]);
    });
  });

  describe('the lease', () => {
    const sessions = async () =>
      (await database.pool.query<{ incarnation: string }>('SELECT incarnation FROM worker_session')).rows.map(
        ({ incarnation }) => incarnation,
      );

    it('is made and extended by its length from now, for several incarnations at once', async () => {
      const { dbNowMs, expiresAtMs } = await a.ownership.renew('a', ['i2', 'i1'], 4_000);
      expect(expiresAtMs - dbNowMs).toBeCloseTo(4_000, -1);
      const later = await a.ownership.renew('a', ['i1', 'i2'], 4_000);
      expect(later.expiresAtMs).toBeGreaterThanOrEqual(expiresAtMs);
      expect((await sessions()).toSorted()).toEqual([a.incarnation, b.incarnation, 'i1', 'i2'].toSorted());
    });

    it('carries the name by which the process’ backends are found', async () => {
      const { rows } = await database.pool.query(
        'SELECT backend_name FROM worker_session WHERE incarnation = $1',
        [a.incarnation],
      );
      expect(rows).toEqual([{ backend_name: a.applicationName }]);
    });

    it('is ended at once where nothing hangs on it any more, and only there', async () => {
      await a.own([0], 1);
      await database.submitOne({ partition: 0 });
      const { tasks } = await a.claim();
      await a.ownership.endSession(a.incarnation);
      expect(await sessions()).toContain(a.incarnation);

      await a.ownership.release(a.incarnation, a.held);
      await a.ownership.endSession(a.incarnation);
      expect(await sessions()).toContain(a.incarnation);

      await a.finish(tasks);
      await a.ownership.endSession(a.incarnation);
      expect(await sessions()).toEqual([b.incarnation]);
    });

    it('of the long gone is cleared away by anyone, unless something hangs on it', async () => {
      const owner = await database.worker('owner');
      const runner = await database.worker('runner');
      await database.worker('idle');
      await owner.own([1], 1);
      await runner.own([0], 1);
      await database.submitOne({ partition: 0 });
      expect((await runner.claim()).tasks).toHaveLength(1);
      await runner.ownership.release(runner.incarnation, runner.held);
      await database.pool.query(`UPDATE worker_session SET expires_at = now() - interval '61 minutes'`);

      await a.ownership.renew('a', [a.incarnation], 4_000);
      await a.execution.clearSessions();
      expect((await sessions()).toSorted()).toEqual(
        [a.incarnation, owner.incarnation, runner.incarnation].toSorted(),
      );
    });
  });

  it('reads what the cluster is', async () => {
    expect(await a.ownership.readMeta()).toEqual({ uid: 'uid-1', partitions: 4 });
  });
});
