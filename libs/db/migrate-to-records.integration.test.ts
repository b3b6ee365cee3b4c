import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DatabaseUnderTest, EVERYWHERE } from '../testing/database-under-test.ts';
import type { WorkerUnderTest } from '../testing/database-under-test.ts';
import { createTestDatabase } from '../testing/postgres.ts';
import { bootstrapDatabase } from './bootstrap.ts';
import { loadFunctions, loadMigrations, migrate } from './migrate.ts';

const [FIRST_CLAIM, SECOND_CLAIM] = [
  '11111111-0000-4000-8000-000000000000',
  '22222222-0000-4000-8000-000000000000',
];
const STARTED = Date.UTC(2024, 0, 1);
const [FIRST, ...LATER] = loadMigrations();

/** What a build with migration 0001 has left: ids 1 and 2 wait, 3 to 6 run, 7 and 8 have ended. */
const LEFT = `
INSERT INTO worker_session (incarnation, worker_id, backend_name, lease_ms, expires_at)
VALUES ('a~1', 'a', 'worker x', 60000, now() + interval '1 hour');
INSERT INTO task (id, partition_id, status, attempt, failures, due_at, scheduled_at, started_at, completed_at,
                  cancel_requested_at, epoch, claim_id, incarnation, worker_id, name, last_error, payload)
OVERRIDING SYSTEM VALUE
SELECT id, partition_id, status, attempt, failures, now() - interval '1 hour' + id * interval '1.0001 s',
       '2024-01-01', CASE WHEN attempt > 0 THEN timestamptz '2024-01-01' END, completed_at::timestamptz,
       cancelled::timestamptz, 1, claim_id::uuid, CASE WHEN attempt > 0 THEN 'a~1' END,
       CASE WHEN attempt > 0 THEN 'a' END, 'n' || id, error, to_jsonb(id)
FROM (VALUES
  (1, 0, 'PENDING',   0, 0, NULL, NULL, NULL, NULL),
  (2, 1, 'PENDING',   3, 2, NULL, NULL, NULL, 'again'),
  (3, 0, 'RUNNING',   1, 0, NULL, NULL, '${FIRST_CLAIM}', NULL),
  (4, 0, 'RUNNING',   5, 1, NULL, NULL, '${FIRST_CLAIM}', 'before'),
  (5, 1, 'RUNNING',   1, 0, NULL, NULL, '${FIRST_CLAIM}', NULL),
  (6, 0, 'RUNNING',   2, 0, NULL, '2024-01-02', '${SECOND_CLAIM}', NULL),
  (7, 2, 'COMPLETED', 1, 0, '2024-01-02', NULL, NULL, NULL),
  (8, 3, 'FAILED',    2, 2, '2024-01-02', NULL, NULL, 'enough')
) AS t (id, partition_id, status, attempt, failures, completed_at, cancelled, claim_id, error);
`;

describe('a database of the build before claims were records', () => {
  let database: DatabaseUnderTest;
  let before: Record<string, unknown>[];
  beforeEach(async () => {
    const empty = await createTestDatabase({ migrated: false });
    if (FIRST === undefined) throw new Error('no migrations');
    await migrate({ url: empty.url, migrations: [FIRST] });
    await bootstrapDatabase({ url: empty.url, uid: 'uid-1', partitions: 4 });
    database = DatabaseUnderTest.on(empty);
    await database.pool.query(LEFT);
    const { rows } = await database.pool.query<Record<string, unknown>>('SELECT * FROM task ORDER BY id');
    before = rows;
    expect(await migrate({ url: database.url })).toEqual(
      [...LATER, ...loadFunctions()].map(({ name }) => name),
    );
  });
  afterEach(() => database.close());

  const state = async () =>
    (await database.pool.query<Record<string, unknown>>('SELECT * FROM task_state ORDER BY id')).rows;

  it('shows each task as it was, but that it is due in whole milliseconds', async () => {
    const after = await state();
    const known = (rows: Record<string, unknown>[]) =>
      rows.map(({ due_at: _due, epoch: _epoch, claim_id: _claim, ...row }) => row);
    expect(known(after)).toMatchObject(known(before));
    for (const [index, { due_at: due }] of after.entries()) {
      expect(Math.floor((before[index]?.['due_at'] as Date).getTime())).toBe((due as Date).getTime());
    }
    expect(await database.tasks.get(4)).toMatchObject({
      ...{
        status: 'RUNNING',
        attempt: 5,
        failures: 1,
        workerId: 'a',
        startedAtMs: STARTED,
        lastError: 'before',
      },
      leaseExpiresAtMs: expect.any(Number) as number,
    });
    expect(await database.tasks.get(8)).toMatchObject({
      status: 'FAILED',
      attempt: 2,
      leaseExpiresAtMs: null,
    });
    const { rowCount } = await database.pool.query(
      `SELECT FROM task WHERE status = 'PENDING' AND due_at <> date_trunc('milliseconds', due_at)`,
    );
    expect(rowCount).toBe(0);
  });

  it('is left as it is by the next run', async () => {
    const after = await state();
    expect(await migrate({ url: database.url })).toEqual([]);
    expect(await state()).toEqual(after);
  });

  it('says what runs, a record a claim and partition', async () => {
    const worker = await database.worker('a', 'a~1');
    expect(
      (await worker.execution.running(['a~1'], EVERYWHERE)).map(
        ({ id, attempt, claimId, cancelRequested }) => [...[id, attempt, claimId, cancelRequested]],
      ),
    ).toEqual([
      [3, 1, FIRST_CLAIM, false],
      [4, 5, FIRST_CLAIM, false],
      [5, 1, FIRST_CLAIM, false],
      [6, 2, SECOND_CLAIM, true],
    ]);
    expect(await database.records()).toEqual({ 0: [2, 1], 1: [1] });
  });

  it('takes the outcomes of what runs, and lets the next claim have what waits', async () => {
    const worker = await database.worker('a', 'a~1');
    const running = await worker.execution.running(['a~1'], EVERYWHERE);
    expect(await worker.execution.payloads(running)).toEqual(new Map([3, 4, 5, 6].map((id) => [id, id])));
    expect(await worker.finish(running)).toEqual(running.map(() => 'recorded'));
    expect(await database.records()).toEqual({});
    expect(await database.tasks.get(4)).toMatchObject({
      status: 'COMPLETED',
      attempt: 5,
      startedAtMs: STARTED,
    });
    // Its removal had been requested.
    expect(await database.tasks.get(6)).toBeNull();

    await worker.own([0, 1, 2, 3], 1);
    expect((await worker.claim()).tasks).toMatchObject([
      { id: 1, attempt: 1 },
      { id: 2, attempt: 4, failures: 2 },
    ]);
  });

  it('has what runs recovered once its claimer is lost', async () => {
    const worker: WorkerUnderTest = await database.worker('b');
    await worker.own([0, 1, 2, 3], 1);
    const recover = () => worker.execution.recover({ held: worker.held, own: [], jitter: 0 });
    expect(await recover()).toEqual([]);
    expect((await worker.claim()).tasks.map(({ id }) => id)).toEqual([1, 2]);
    await database.pool.query(`DELETE FROM worker_session WHERE incarnation = 'a~1'`);
    const recovered = (await recover()).toSorted((x, y) => x.id - y.id);
    expect(recovered.map(({ id, attempt, became }) => [id, attempt, became])).toEqual([
      [3, 1, 'PENDING'],
      [4, 5, 'PENDING'],
      [5, 1, 'PENDING'],
      [6, 2, 'REMOVED'],
    ]);
    expect(await database.tasks.get(6)).toBeNull();
    // The second failure waits for a while.
    await database.tasks.run(4);
    expect((await worker.claim()).tasks.map(({ id, attempt }) => [id, attempt])).toEqual([
      [3, 2],
      [5, 2],
      [4, 6],
    ]);
  });

  it('removes what waits and has ended, and marks what runs', async () => {
    expect(await Promise.all([1, 7, 3, 6].map((id) => database.tasks.remove(id)))).toEqual([
      ...['removed', 'removed', 'cancelling', 'cancelling'],
    ]);
  });
});
