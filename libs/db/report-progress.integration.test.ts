import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DatabaseUnderTest } from '../testing/database-under-test.ts';
import type { WorkerUnderTest } from '../testing/database-under-test.ts';
import type { ClaimedTask } from './stores.ts';

describe('progress', () => {
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

  async function running(...names: string[]): Promise<ClaimedTask[]> {
    await database.submit(names);
    const { tasks } = await a.claim();
    expect(tasks).toHaveLength(names.length);
    return tasks.toSorted((x, y) => x.id - y.id);
  }
  const report = (tasks: readonly ClaimedTask[], done: number, note: string | null = null) =>
    a.execution.reportProgress(tasks.map((task) => ({ ...task, done, note })));
  const progressOf = async ({ id }: { id: number }) => (await database.tasks.get(id))?.progress;
  const rowOf = async ({ id }: { id: number }) => {
    const { rows } = await database.pool.query<Record<string, unknown>>('SELECT * FROM task WHERE id = $1', [
      id,
    ]);
    const { progress: _, ...rest } = rows[0] ?? {};
    return rest;
  };

  it('is shown while the attempt runs, and changes nothing else', async () => {
    const tasks = await running('x', 'y');
    const before = await Promise.all(tasks.map(rowOf));
    expect(await report(tasks.toReversed(), 0.1, 'so far')).toEqual(tasks.map(({ id }) => id));
    expect(await progressOf(tasks[0] as ClaimedTask)).toEqual({ done: 0.1, note: 'so far' });
    expect(await Promise.all(tasks.map(rowOf))).toEqual(before);
    expect((await a.claim()).tasks).toEqual([]);
    expect(await a.finish(tasks)).toEqual(['recorded', 'recorded']);
  });

  it('of an attempt is not that of the next', async () => {
    const tasks = await running('x');
    const [task] = tasks as [ClaimedTask];
    await report(tasks, 0.5);
    await a.finish(tasks, { kind: 'HANDED_BACK' });
    expect(await progressOf(task)).toEqual({ done: 0.5, note: null });
    const { tasks: next } = await a.claim();
    expect(await progressOf(task)).toBeNull();
    expect(await report(tasks, 0.6)).toEqual([]);
    expect(await progressOf(task)).toBeNull();
    expect(await report(next, 0.7)).toEqual([task.id]);
  });

  it('of an attempt that has ended, is another’s or was never claimed is not stored', async () => {
    const tasks = await running('x', 'y');
    const [ended, runs] = tasks as [ClaimedTask, ClaimedTask];
    await a.finish([ended], { kind: 'COMPLETED' }, []);
    expect(await report([ended, { ...runs, incarnation: 'b' }, { ...runs, attempt: 2 }], 0.5)).toEqual([]);
    expect(await report([{ ...runs, id: 99_999 }], 0.5)).toEqual([]);
    expect(await Promise.all(tasks.map(progressOf))).toEqual([null, null]);
  });

  it('of an attempt whose worker was lost is not stored', async () => {
    const tasks = await running('x');
    const b = await database.worker('b');
    await b.own([0, 1, 2, 3], ++epoch);
    await database.expireLease(a);
    const recovered = await b.execution.recover({ held: b.held, own: [b.incarnation], jitter: 0 });
    expect(recovered).toMatchObject([{ id: tasks[0]?.id }]);
    expect(await report(tasks, 0.5)).toEqual([]);
  });

  it('waits for nobody: what is being changed is left out, and the rest is stored', async () => {
    const tasks = await running('x', 'y');
    const [ending, runs] = tasks as [ClaimedTask, ClaimedTask];
    const open = await database.begin(a);
    await open.worker.finish([ending], { kind: 'COMPLETED' }, []);
    expect(await report(tasks, 0.5)).toEqual([runs.id]);
    await open.rollback();
    expect(await report(tasks, 0.6)).toEqual([ending.id, runs.id]);
  });

  it('holds up an outcome no longer than it takes, and what was changed meanwhile stays', async () => {
    const tasks = await running('x');
    const [task] = tasks as [ClaimedTask];
    const open = await database.begin(a);
    await open.worker.execution.reportProgress([{ ...task, done: 0.5, note: null }]);
    const finished = a.finish(tasks);
    await database.blocked(a);
    await open.commit();
    expect(await finished).toEqual(['recorded']);
    expect(await database.tasks.get(task.id)).toMatchObject({
      ...{ status: 'COMPLETED', attempt: 1, progress: { done: 0.5, note: null } },
    });
  });

  it('has a note that the database takes', async () => {
    const tasks = await running('x');
    await report(tasks, 1, `a\0b\ud800${'x'.repeat(300)}`);
    const note = `a\ufffdb\ufffd${'x'.repeat(196)}`;
    expect(await progressOf(tasks[0] as ClaimedTask)).toEqual({ done: 1, note });
  });
});
