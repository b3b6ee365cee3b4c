import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DatabaseUnderTest, EVERYWHERE } from '../testing/database-under-test.ts';
import type { WorkerUnderTest } from '../testing/database-under-test.ts';

describe('a claim, beside what others do at the same time', () => {
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

  /** A removal that has been carried out and not committed, by an API. */
  async function openRemoval(id: number) {
    const removal = await database.begin(await database.worker('api'));
    const { rows } = await removal.client.query('SELECT remove_task($1) AS result', [id]);
    return { removal, result: (rows[0] as { result: string }).result };
  }

  describe('of an owner', () => {
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
      expect(await database.records()).toEqual({});
    });

    it('locks the rows of all its partitions, not only of those it finds something in, and no task', async () => {
      const { id } = await database.submitOne({ partition: 0 });
      const open = await database.begin(a);
      expect((await open.worker.claim(1)).tasks).toHaveLength(1);
      // A claim of the same owner, an acquire and a removal conflict with it.
      for (const lock of ['NO KEY UPDATE', 'SHARE']) {
        const { rows } = await database.pool.query(`SELECT FROM partition_owner FOR ${lock} SKIP LOCKED`);
        expect(rows).toEqual([]);
      }
      const { rowCount } = await database.pool.query(
        'SELECT FROM task WHERE id = $1 FOR UPDATE SKIP LOCKED',
        [id],
      );
      expect(rowCount).toBe(1);
      await open.rollback();
    });

    it('leaves what its former owner runs alone, and claims it again once it was handed back', async () => {
      const { id } = await database.submitOne({ partition: 0 });
      const { tasks } = await a.claim();
      const b = await database.worker('b');
      await b.own([0], 2);
      expect(await b.claim()).toMatchObject({ held: [0], tasks: [] });

      const handedBack = await database.begin(a);
      await handedBack.worker.finish(tasks, { kind: 'HANDED_BACK' });
      // An outcome holds up no claim, which sees either all of it or nothing.
      expect(await b.claim()).toMatchObject({ held: [0], tasks: [] });
      await handedBack.commit();
      expect((await b.claim()).tasks).toMatchObject([{ id, attempt: 2, failures: 0 }]);
      expect(await database.tasks.get(id)).toMatchObject({ status: 'RUNNING', attempt: 2, workerId: 'b' });
    });
  });

  describe('of the same worker, whose reply was lost', () => {
    it('takes nothing that the earlier one has taken, which has not committed when it comes', async () => {
      const task = await database.submitOne({ partition: 0 });
      const lost = await database.begin(a);
      expect((await lost.worker.claim()).tasks).toMatchObject([{ id: task.id }]);

      const second = a.claim();
      await database.blocked(a);
      await lost.commit();
      expect(await second).toMatchObject({ held: [0, 1, 2, 3], tasks: [] });
      expect(await a.execution.running([a.incarnation], EVERYWHERE)).toMatchObject([
        { id: task.id, attempt: 1 },
      ]);
      expect(await database.records()).toEqual({ 0: [1] });
    });

    it('that waited has a record that is younger than any that a claim was told of meanwhile', async () => {
      const { id: elsewhere } = await database.submitOne({ partition: 0 });
      const { id } = await database.submitOne({ partition: 3 });
      const { removal } = await openRemoval(elsewhere);
      const lost = a.claim(
        10,
        a.held.filter(({ partition }) => partition <= 1),
      );
      await database.blocked(a);
      const one = a.held.filter(({ partition }) => partition === 1);
      const { tasks, oldestRecords } = await a.claim(10, one);
      expect(tasks).toEqual([]);

      // As one that was due before, and is committed late.
      await database.pool.query('UPDATE task SET partition_id = 1 WHERE id = $1', [id]);
      await removal.commit();
      expect((await lost).tasks).toMatchObject([{ id }]);
      const beyond = one.map((part) => ({ ...part, oldestRecord: oldestRecords[0] }));
      expect((await a.claim(10, beyond)).tasks).toEqual([]);
    });

    it('takes what the earlier one had taken that came to nothing', async () => {
      const task = await database.submitOne({ partition: 0 });
      const lost = await database.begin(a);
      await lost.worker.claim();
      const second = a.claim();
      await database.blocked(a);
      await lost.rollback();
      expect((await second).tasks).toMatchObject([{ id: task.id, attempt: 1 }]);
    });

    it('judges a task by its state after the wait, not before: what has ended is not claimed', async () => {
      const task = await database.submitOne({ partition: 0 });
      const first = await database.begin(a);
      await first.client.query('SELECT FROM partition_owner WHERE partition_id = 0 FOR UPDATE');
      const { tasks } = await first.worker.claim();

      // As it began, the task waited and no record named it; its fence holds after the wait.
      const second = a.claim();
      await database.blocked(a);
      await first.worker.finish(tasks);
      await first.commit();
      expect(await second).toMatchObject({ held: [0, 1, 2, 3], tasks: [] });
      expect(await database.tasks.get(task.id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    });
  });

  describe('and a removal', () => {
    it('that is not yet committed: waits for it, and does not return the removed task', async () => {
      const [removed, kept] = await database.submit(['removed', 'kept'], { partition: 0 });
      const { removal, result } = await openRemoval(removed?.id ?? 0);
      expect(result).toBe('removed');
      const claim = a.claim();
      await database.blocked(a);
      await removal.commit();
      expect((await claim).tasks.map(({ id }) => id)).toEqual([kept?.id]);
      expect(await database.tasks.get(removed?.id ?? 0)).toBeNull();
      expect(await database.records()).toEqual({ 0: [1] });
    });

    it('that is undone: waits for it, and returns the task', async () => {
      const { id } = await database.submitOne({ partition: 0 });
      const { removal } = await openRemoval(id);
      const claim = a.claim();
      await database.blocked(a);
      await removal.rollback();
      expect((await claim).tasks).toMatchObject([{ id }]);
    });

    it('elsewhere does not hold it up', async () => {
      const elsewhere = await database.submitOne({ partition: 3 });
      const { id } = await database.submitOne({ partition: 0 });
      await openRemoval(elsewhere.id);
      const held = a.held.filter(({ partition }) => partition !== 3);
      expect((await a.claim(10, held)).tasks).toMatchObject([{ id }]);
    });

    it('that comes while it is not yet committed: the removal waits, and asks what runs to end', async () => {
      const { id } = await database.submitOne({ partition: 0 });
      const claim = await database.begin(a);
      const { tasks } = await claim.worker.claim();
      const removal = database.tasks.remove(id);
      await database.blocked({ applicationName: 'test' });
      await claim.commit();
      expect(await removal).toBe('cancelling');
      expect(await a.execution.running([a.incarnation], EVERYWHERE)).toMatchObject([
        { id, cancelRequested: true },
      ]);
      expect(await database.tasks.get(id)).toMatchObject({ status: 'RUNNING', workerId: 'a' });

      expect(await a.finish(tasks, { kind: 'RETRY', delayMs: 0, error: 'again' })).toEqual(['recorded']);
      expect(await database.tasks.get(id)).toBeNull();
      expect(await database.records()).toEqual({});
      expect((await a.claim()).tasks).toEqual([]);
    });

    it('that comes while it is undone: the removal waits, and takes the task away', async () => {
      const { id } = await database.submitOne({ partition: 0 });
      const claim = await database.begin(a);
      await claim.worker.claim();
      const removal = database.tasks.remove(id);
      await database.blocked({ applicationName: 'test' });
      await claim.rollback();
      expect(await removal).toBe('removed');
    });
  });

  it('that takes a task whose row someone holds does not wait for it: the outcome does', async () => {
    const { id } = await database.submitOne({ partition: 0 });
    const other = await database.begin(a);
    await other.client.query('SELECT FROM task WHERE id = $1 FOR UPDATE', [id]);
    const { tasks } = await a.claim();
    expect(tasks).toMatchObject([{ id }]);
    const finished = a.finish(tasks);
    await database.blocked(a);
    await other.rollback();
    expect(await finished).toEqual(['recorded']);
  });
});
