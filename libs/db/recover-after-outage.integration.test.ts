import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DatabaseUnderTest } from '../testing/database-under-test.ts';
import type { WorkerUnderTest } from '../testing/database-under-test.ts';

describe('recovery after the database was away from everybody', () => {
  let database: DatabaseUnderTest;
  /** Runs a task, and has lost its partitions to b. */
  let a: WorkerUnderTest;
  let b: WorkerUnderTest;
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
    await a.claim();
    await b.own([0, 1, 2, 3], ++epoch);
  });
  afterEach(() => database.clear());

  const recover = (worker = b) => worker.execution.recover({ held: worker.held, own: [], jitter: 0 });

  /** `worker` renewed for the last time `agoMs` before now. */
  const lastRenewed = (worker: WorkerUnderTest, agoMs: number) =>
    database.pool.query(
      `UPDATE worker_session SET expires_at = now() + (lease_ms - $2::integer) * interval '1 millisecond'
       WHERE incarnation = $1`,
      [worker.incarnation, agoMs],
    );
  const unbrokenSeconds = async (incarnation: string) => {
    const { rows } = await database.pool.query<{ seconds: number }>(
      'SELECT extract(epoch FROM now() - unbroken_since)::float8 AS seconds FROM worker_session WHERE incarnation = $1',
      [incarnation],
    );
    return rows[0]?.seconds ?? Number.NaN;
  };

  it('a statement that was on its way all the time recovers nothing: the caller has not renewed yet', async () => {
    await database.expireLease(a);
    await lastRenewed(b, 45_000);
    expect(await recover()).toEqual([]);
  });

  it('nothing is recovered for one lease length after the caller’s renewal', async () => {
    await database.expireLease(a);
    await lastRenewed(b, 45_000);
    await b.ownership.renew('b', [b.incarnation], 60_000);
    expect(await unbrokenSeconds(b.incarnation)).toBeLessThan(30);
    expect(await recover()).toEqual([]);
    await database.pool.query(
      `UPDATE worker_session SET unbroken_since = now() - interval '61 s' WHERE incarnation = $1`,
      [b.incarnation],
    );
    expect(await recover()).toHaveLength(1);
  });

  it('a renewal that is merely a little late breaks nothing', async () => {
    await lastRenewed(b, 35_000);
    await b.ownership.renew('b', [b.incarnation], 60_000);
    expect(await unbrokenSeconds(b.incarnation)).toBeGreaterThan(3_000);
  });

  it('a process that has just started waits; one that has a new session goes on as before', async () => {
    await b.ownership.renew('b', [`${b.incarnation}-next`], 60_000);
    expect(await unbrokenSeconds(`${b.incarnation}-next`)).toBeGreaterThan(3_000);
    await lastRenewed(a, 45_000);
    await a.ownership.renew('a', [`${a.incarnation}-next`], 60_000);
    expect(await unbrokenSeconds(`${a.incarnation}-next`)).toBeLessThan(30);
  });
});
