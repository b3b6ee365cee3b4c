import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DEFAULT_POLICY, afterLoss } from '../core/task.ts';
import type { AfterFailure, TaskPolicy } from '../core/task.ts';
import { DatabaseUnderTest } from '../testing/database-under-test.ts';
import type { WorkerUnderTest } from '../testing/database-under-test.ts';
import type { ClaimedTask } from './stores.ts';

describe('recover', () => {
  let database: DatabaseUnderTest;
  /** Runs a task, and has lost its partitions to b. */
  let a: WorkerUnderTest;
  let b: WorkerUnderTest;
  let lost: ClaimedTask;
  let epoch = 0;
  beforeAll(async () => {
    database = await DatabaseUnderTest.start();
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    a = await database.worker('a');
    b = await database.worker('b');
    await a.own([0, 1, 2, 3], ++epoch);
    await database.submitOne({ name: 'lost' });
    lost = (await a.claim()).tasks[0] as ClaimedTask;
    await b.own([0, 1, 2, 3], ++epoch);
  });
  afterEach(() => database.clear());

  const recover = (worker = b) => worker.execution.recover({ held: worker.held, own: [], jitter: 0.5 });
  const outcomeOfA = () => a.finish([lost]);

  it('leaves an attempt alone while its claimer’s lease lasts', async () => {
    expect(await recover()).toEqual([]);
    expect(await outcomeOfA()).toEqual(['recorded']);
  });

  it('ends the attempt once the lease is over: charged, with the reason, and the late outcome is refused', async () => {
    await database.expireLease(a);
    expect(await recover()).toEqual([
      { id: lost.id, partition: lost.partition, attempt: 1, fromWorkerId: 'a', became: 'PENDING' },
    ]);
    expect(await database.tasks.get(lost.id)).toMatchObject({
      status: 'PENDING',
      attempt: 1,
      failures: 1,
      lastError: 'attempt 1: worker a was lost, its lease ended',
      leaseExpiresAtMs: null,
    });
    expect(await outcomeOfA()).toEqual(['refused']);

    expect((await b.claim()).tasks).toMatchObject([{ id: lost.id, attempt: 2, failures: 1 }]);
    expect(await outcomeOfA()).toEqual(['refused']);
    expect(await database.tasks.get(lost.id)).toMatchObject({ status: 'RUNNING', workerId: 'b' });
  });

  it('takes a claimer without any session for gone', async () => {
    await database.pool.query('DELETE FROM worker_session WHERE incarnation = $1', [a.incarnation]);
    expect(await recover()).toMatchObject([{ id: lost.id, became: 'PENDING' }]);
  });

  it('delays by the failures there were before, and fails the task when its attempts have run out', async () => {
    await database.expireLease(a);
    const policy = { maxAttempts: 3, backoff: { baseMs: 3_600_000, maxMs: 7_200_000, factor: 2 } };
    await database.pool.query('UPDATE task SET failures = 1, policy = $2 WHERE id = $1', [lost.id, policy]);
    expect(await recover()).toMatchObject([{ became: 'PENDING' }]);
    expect((await b.claim()).tasks).toEqual([]);

    await database.pool.query('UPDATE task SET due_at = now() WHERE id = $1', [lost.id]);
    expect((await b.claim()).tasks).toMatchObject([{ failures: 2, attempt: 2 }]);
    const c = await database.worker('c');
    await c.own([0, 1, 2, 3], ++epoch);
    await database.expireLease(b);
    expect(await recover(c)).toMatchObject([{ became: 'FAILED', fromWorkerId: 'b', attempt: 2 }]);
    expect(await database.tasks.get(lost.id)).toMatchObject({
      status: 'FAILED',
      failures: 3,
      lastError: 'attempt 2: worker b was lost, its lease ended',
    });
    expect((await database.tasks.get(lost.id))?.completedAtMs).not.toBeNull();
  });

  it('delays as afterLoss says', async () => {
    const policies: TaskPolicy[] = [
      {},
      { maxAttempts: 1 },
      { maxAttempts: 100 },
      { maxAttempts: 100, backoff: { baseMs: 7, maxMs: 1_000_000, factor: 1.5 } },
      { maxAttempts: 100, backoff: { baseMs: 86_400_000, maxMs: 86_400_000, factor: 10 } },
    ];
    const cases = policies.flatMap((policy) =>
      [0, 1, 2, 3, 4, 5, 60, 99].flatMap((failures) =>
        [0, 0.3, 0.999].map((jitter) => ({ policy: { ...DEFAULT_POLICY, ...policy }, failures, jitter })),
      ),
    );
    const { rows } = await database.pool.query<{ delay: number | null }>(
      `SELECT recovery_delay_ms(policy, failures, jitter) AS delay
       FROM json_to_recordset($1) AS c (policy jsonb, failures integer, jitter double precision)`,
      [JSON.stringify(cases)],
    );
    const inSql = rows.map(({ delay }): AfterFailure =>
      delay === null ? { status: 'FAILED' } : { status: 'PENDING', delayMs: delay },
    );
    expect(inSql).toEqual(
      cases.map(({ policy, failures, jitter }) => afterLoss(failures, policy, { next: () => jitter })),
    );
  });

  it('removes the task where that was requested', async () => {
    await database.tasks.remove(lost.id);
    await database.expireLease(a);
    expect(await recover()).toMatchObject([{ id: lost.id, became: 'REMOVED' }]);
    expect(await database.tasks.get(lost.id)).toBeNull();
    expect(await outcomeOfA()).toEqual(['recorded']);
  });

  it('only in partitions whose fence holds', async () => {
    await database.expireLease(a);
    const stale = b.held.map((held) => ({ ...held, epoch: held.epoch - 1 }));
    expect(await b.execution.recover({ held: stale, own: [], jitter: 0 })).toEqual([]);
    const elsewhere = b.held.filter(({ partition }) => partition !== lost.partition);
    expect(await b.execution.recover({ held: elsewhere, own: [], jitter: 0 })).toEqual([]);
    expect(await outcomeOfA()).toEqual(['recorded']);
  });

  it('never an attempt of the caller’s own incarnations, lease or not', async () => {
    await a.own([0, 1, 2, 3], ++epoch);
    await database.expireLease(a);
    expect(await recover(a)).toEqual([]);
  });

  it('nor of an earlier incarnation of the caller’s that it names', async () => {
    await database.expireLease(a);
    const own = [a.incarnation];
    expect(await b.execution.recover({ held: b.held, own, jitter: 0 })).toEqual([]);
    expect(await recover()).toHaveLength(1);
  });

  it('waits for a renewal under way, which saves the attempt', async () => {
    await database.expireLease(a);
    const renewal = await database.begin(a);
    await renewal.worker.ownership.renew('a', [a.incarnation], 60_000);
    const recovered = recover();
    await database.blocked(b);
    await renewal.commit();
    expect(await recovered).toEqual([]);
    expect(await outcomeOfA()).toEqual(['recorded']);
  });

  it('under way, makes a renewal wait, which then comes too late', async () => {
    await database.expireLease(a);
    const recovery = await database.begin(b);
    expect(await recovery.worker.execution.recover({ held: b.held, own: [], jitter: 0 })).toHaveLength(1);
    const renewal = a.ownership.renew('a', [a.incarnation], 60_000);
    await database.blocked(a);
    await recovery.commit();
    await renewal;
    expect(await outcomeOfA()).toEqual(['refused']);
  });

  it('under way, makes an outcome wait, which is then refused', async () => {
    await database.expireLease(a);
    const recovery = await database.begin(b);
    expect(await recovery.worker.execution.recover({ held: b.held, own: [], jitter: 0 })).toHaveLength(1);
    const late = outcomeOfA();
    await database.blocked(a);
    await recovery.commit();
    expect(await late).toEqual(['refused']);
  });

  it('waits for an outcome that is being recorded, which counts', async () => {
    await database.expireLease(a);
    const outcome = await database.begin(a);
    await outcome.worker.finish([lost]);
    const recovered = recover();
    await database.blocked(b);
    await outcome.commit();
    expect(await recovered).toEqual([]);
    expect(await database.tasks.get(lost.id)).toMatchObject({ status: 'COMPLETED', failures: 0 });
    expect(await recover()).toEqual([]);
  });

  it('waits for an outcome that is being recorded, and charges the attempt where that comes to nothing', async () => {
    await database.expireLease(a);
    const outcome = await database.begin(a);
    await outcome.worker.finish([lost]);
    const recovered = recover();
    await database.blocked(b);
    await outcome.rollback();
    expect(await recovered).toMatchObject([{ id: lost.id, became: 'PENDING' }]);
  });

  it('waits behind a higher epoch, and then recovers nothing', async () => {
    await database.expireLease(a);
    const c = await database.worker('c');
    const bump = await database.begin(c);
    await bump.worker.own([0, 1, 2, 3], ++epoch);
    const recovered = recover();
    await database.blocked(b);
    await bump.commit();
    expect(await recovered).toEqual([]);
  });

  it('cuts a lease from before the clock stepped back to its own length', async () => {
    await database.pool.query(
      `UPDATE worker_session SET lease_ms = 4000, expires_at = now() + interval '1 hour' WHERE incarnation = $1`,
      [a.incarnation],
    );
    expect(await recover()).toEqual([]);
    const { rows } = await database.pool.query(
      `SELECT expires_at <= now() + interval '4 s' AS cut, expires_at > now() AS alive
       FROM worker_session WHERE incarnation = $1`,
      [a.incarnation],
    );
    expect(rows).toEqual([{ cut: true, alive: true }]);
  });
});
