import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DatabaseUnderTest, EVERYWHERE } from '../testing/database-under-test.ts';
import type { WorkerUnderTest } from '../testing/database-under-test.ts';
import type { ClaimedTask } from './stores.ts';

describe('recovery of records', () => {
  let database: DatabaseUnderTest;
  /** Loses what it runs. */
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
  });
  afterEach(() => database.clear());

  const recover = (worker = b) => worker.execution.recover({ held: worker.held, own: [], jitter: 0 });

  /** `a` runs these, in partition 0, and has lost its partitions to b and its lease. */
  async function lose(...names: string[]): Promise<ClaimedTask[]> {
    await database.submit(names, { partition: 0 });
    const { tasks } = await a.claim();
    await b.own([0, 1, 2, 3], ++epoch);
    await database.expireLease(a);
    return tasks;
  }

  it('charges only what still stands one attempt below: not what has ended, in whichever way', async () => {
    const [completed, waits, again, removed, lost] = (await lose('1', '2', '3', '4', '5')) as [
      ClaimedTask,
      ClaimedTask,
      ClaimedTask,
      ClaimedTask,
      ClaimedTask,
    ];
    await a.finish([completed], { kind: 'COMPLETED' }, []);
    await a.finish([waits], { kind: 'RETRY', delayMs: 3_600_000, error: 'waits' }, []);
    await a.finish([again], { kind: 'HANDED_BACK' }, []);
    await database.tasks.remove(removed.id);
    await a.finish([removed], { kind: 'HANDED_BACK' }, []);
    expect((await b.claim()).tasks).toMatchObject([{ id: again.id, attempt: 2 }]);

    expect(await recover()).toEqual([
      { id: lost.id, partition: 0, attempt: 1, fromWorkerId: 'a', became: 'PENDING' },
    ]);
    expect(await database.tasks.get(completed.id)).toMatchObject({ status: 'COMPLETED', failures: 0 });
    expect(await database.tasks.get(waits.id)).toMatchObject({ status: 'PENDING', attempt: 1, failures: 1 });
    expect(await database.tasks.get(again.id)).toMatchObject({
      status: 'RUNNING',
      attempt: 2,
      workerId: 'b',
    });
    expect(await database.tasks.get(removed.id)).toBeNull();
    // b's own is left.
    expect(await database.records()).toEqual({ 0: [1] });
  });

  it('removes the record, and so an outcome of any of it is refused, which may name it as settled', async () => {
    const tasks = await lose('x', 'y');
    expect(await recover()).toHaveLength(2);
    expect(await database.records()).toEqual({});
    expect(await a.execution.running([a.incarnation], EVERYWHERE)).toEqual([]);
    expect(await a.finish(tasks)).toEqual(['refused', 'refused']);
    const [x] = tasks;
    expect(await database.tasks.get(x?.id ?? 0)).toMatchObject({
      status: 'PENDING',
      attempt: 1,
      failures: 1,
    });

    expect((await b.claim()).tasks).toMatchObject([{ attempt: 2 }, { attempt: 2 }]);
    expect(await a.finish(tasks)).toEqual(['refused', 'refused']);
    expect(await database.records()).toEqual({ 0: [2] });
  });

  it('looks at no record that is older than any that stands is said to be', async () => {
    const [task] = await lose('x');
    const record = task?.record ?? 0;
    const recoverFrom = (oldestRecord: number) =>
      b.execution.recover({ held: b.held.map((part) => ({ ...part, oldestRecord })), own: [], jitter: 0 });
    expect(await recoverFrom(record + 1)).toEqual([]);
    expect(await recoverFrom(record)).toMatchObject([{ id: task?.id, became: 'PENDING' }]);
  });

  it('of an outcome under way that leaves the record, waits for it, and charges the rest', async () => {
    const [x, y] = (await lose('x', 'y')) as [ClaimedTask, ClaimedTask];
    const outcome = await database.begin(a);
    await outcome.worker.finish([x], { kind: 'COMPLETED' }, []);
    const recovered = recover();
    await database.blocked(b);
    await outcome.commit();
    expect(await recovered).toMatchObject([{ id: y.id }]);
    expect(await database.tasks.get(x.id)).toMatchObject({ status: 'COMPLETED', failures: 0 });
    expect(await a.finish([y])).toEqual(['refused']);
  });

  it('makes an outcome that would settle the record wait, though not one of its tasks is the outcome’s', async () => {
    const [x, y] = (await lose('x', 'y')) as [ClaimedTask, ClaimedTask];
    await a.finish([x], { kind: 'COMPLETED' }, []);
    const recovery = await database.begin(b);
    await recovery.worker.execution.recover({ held: b.held, own: [], jitter: 0 });
    const late = a.finish([y]);
    await database.blocked(a);
    await recovery.commit();
    expect(await late).toEqual(['refused']);
    expect(await database.tasks.get(y.id)).toMatchObject({ status: 'PENDING', failures: 1 });
  });

  it('by two owners one after the other, charges each attempt once', async () => {
    const [x] = await lose('x');
    const first = await database.begin(b);
    expect(await first.worker.execution.recover({ held: b.held, own: [], jitter: 0 })).toHaveLength(1);
    const c = await database.worker('c');
    const moved = c.own([0, 1, 2, 3], ++epoch);
    await database.blocked(c);
    await first.commit();
    await moved;
    expect(await recover(c)).toEqual([]);
    expect(await database.tasks.get(x?.id ?? 0)).toMatchObject({ failures: 1 });
  });

  it('makes a claim of its partitions wait, which then takes what waits again', async () => {
    const [x] = await lose('x');
    const recovery = await database.begin(b);
    await recovery.worker.execution.recover({ held: b.held, own: [], jitter: 0 });
    const claim = b.claim();
    await database.blocked(b);
    await recovery.commit();
    const { tasks, held } = await claim;
    expect(held).toEqual([0, 1, 2, 3]);
    // Due at the time of the recovery, which may be after the claim's.
    const then = tasks.length > 0 ? tasks : (await b.claim()).tasks;
    expect(then).toMatchObject([{ id: x?.id, attempt: 2, failures: 1 }]);
  });

  it('beside a removal of what it recovers: the removal waits, and takes away what waits again', async () => {
    const [x] = await lose('x');
    const recovery = await database.begin(b);
    await recovery.worker.execution.recover({ held: b.held, own: [], jitter: 0 });
    const removal = database.tasks.remove(x?.id ?? 0);
    await database.blocked({ applicationName: 'test' });
    await recovery.commit();
    expect(await removal).toBe('removed');
  });

  it('behind a removal that is not yet committed: waits for it, and what was lost goes', async () => {
    const [x] = await lose('x');
    const removal = await database.begin(await database.worker('api'));
    await removal.client.query('SELECT remove_task($1)', [x?.id]);
    const recovered = recover();
    await database.blocked(b);
    await removal.commit();
    expect(await recovered).toMatchObject([{ id: x?.id, became: 'REMOVED' }]);
    expect(await database.tasks.get(x?.id ?? 0)).toBeNull();
  });

  it('more than one batch of a worker that ran very much, in one call', async () => {
    await database.submit(
      Array.from({ length: 150 }, (_, index) => `n${index}`),
      { partition: 0 },
    );
    for (let claimed = -1; claimed !== 0;) claimed = (await a.claim(1)).tasks.length;
    expect((await database.records())[0]).toHaveLength(150);
    await b.own([0, 1, 2, 3], ++epoch);
    await database.expireLease(a);
    expect(await recover()).toHaveLength(150);
    expect(await database.records()).toEqual({});
    expect(await recover()).toEqual([]);
  });

  it('of a hundred records that have nothing left to charge, goes on with the next call', async () => {
    const names = Array.from({ length: 101 }, (_, index) => `n${index}`);
    await database.submit(names, { partition: 0 });
    const all: ClaimedTask[] = [];
    for (let more: ClaimedTask[] = []; ; all.push(...more)) {
      more = (await a.claim(1)).tasks;
      if (more.length === 0) break;
    }
    await a.finish(all.slice(0, 100), { kind: 'COMPLETED' }, []);
    await b.own([0, 1, 2, 3], ++epoch);
    await database.expireLease(a);
    expect([...(await recover()), ...(await recover())]).toMatchObject([{ id: all[100]?.id }]);
    expect(await database.records()).toEqual({});
  });
});
