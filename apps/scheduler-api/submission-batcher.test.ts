import { describe, expect, it } from 'vitest';
import type { TaskOnce } from '../../libs/db/stores.ts';
import { StoreUnavailableError } from '../../libs/db/stores.ts';
import { BATCHER_LIMITS, SubmissionBatcher, SubmissionRefusedError } from './submission-batcher.ts';
import { MemoryTaskStore } from './testing/memory-task-store.ts';

function start(limits: Partial<typeof BATCHER_LIMITS> = {}) {
  const store = new MemoryTaskStore();
  const batcher = new SubmissionBatcher({ store, limits: { ...BATCHER_LIMITS, ...limits } });
  const submit = (name: string, payloadBytes = 4, once: TaskOnce['once'] = null) =>
    batcher.submit({
      task: { name, key: null, payload: null, scheduledAtMs: null },
      once,
      payloadBytes,
    });
  return { store, batcher, submit };
}

const names = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `task-${from + i}`);
const turnOfTheLoop = () => new Promise(setImmediate);

describe('the submission batcher', () => {
  it('writes submissions that arrive together in one insert, each answered with its own task', async () => {
    const { store, submit } = start();
    const records = await Promise.all(names(1, 100).map((name) => submit(name)));
    expect(store.inserts).toEqual([names(1, 100)]);
    expect(records.map(({ id }) => store.tasks.get(id)?.name)).toEqual(names(1, 100));
  });

  it('acknowledges nothing before the commit, and writes meanwhile arrivals together afterwards', async () => {
    const { store, submit } = start();
    const commit = store.holdCommits();
    const acknowledged: string[] = [];
    const submitted = names(1, 1).map((name) => submit(name).then(() => acknowledged.push(name)));
    await turnOfTheLoop();
    submitted.push(...names(2, 5).map((name) => submit(name).then(() => acknowledged.push(name))));
    await turnOfTheLoop();
    expect(store.inserts).toEqual([['task-1']]);
    expect(acknowledged).toEqual([]);
    commit();
    await Promise.all(submitted);
    expect(store.inserts).toEqual([['task-1'], names(2, 5)]);
    expect(acknowledged).toEqual(names(1, 5));
  });

  it('has the next batch under way before it answers those of the last', async () => {
    const { store, submit } = start();
    const commitFirst = store.holdCommits();
    const first = submit('task-1').then(() => [...store.inserts]);
    await turnOfTheLoop();
    const second = submit('task-2');
    commitFirst();
    const commitSecond = store.holdCommits();
    expect(await first).toEqual([['task-1'], ['task-2']]);
    commitSecond();
    await second;
  });

  it('bounds a batch by tasks and by bytes, and still writes a task larger than the bound', async () => {
    const { store, submit } = start({ batchTasks: 3, batchBytes: 100 });
    await Promise.all([...names(1, 4).map((name) => submit(name)), submit('large', 500), submit('last', 90)]);
    expect(store.inserts).toEqual([['task-1', 'task-2', 'task-3'], ['task-4'], ['large'], ['last']]);
  });

  it('bounds a batch by the keys that it locks, and not those without', async () => {
    const { store, submit } = start({ batchKeys: 2 });
    const keyed = names(1, 5).map((name) => submit(name, 4, { key: name, fingerprint: '' }));
    await Promise.all([...keyed, ...names(6, 9).map((name) => submit(name))]);
    expect(store.inserts).toEqual([names(1, 2), names(3, 4), names(5, 9)]);
  });

  it('refuses what does not fit the queue, by tasks or bytes, and takes more once it has drained', async () => {
    const { store, submit } = start({ queueTasks: 2, queueBytes: 100 });
    const commit = store.holdCommits();
    const written = submit('task-1');
    await turnOfTheLoop();
    const waiting = submit('task-2', 60);
    await expect(submit('too-large', 60)).rejects.toThrow(SubmissionRefusedError);
    const alsoWaiting = submit('task-3', 40);
    await expect(submit('too-many', 0)).rejects.toThrow(SubmissionRefusedError);
    commit();
    await Promise.all([written, waiting, alsoWaiting]);
    await submit('task-4', 100);
    expect(store.inserts.flat()).toEqual(names(1, 4));
  });

  it('fails only the poisoned task of a batch', async () => {
    const { store, submit } = start();
    store.poison = 'task-37';
    const outcomes = await Promise.allSettled(names(1, 100).map((name) => submit(name)));
    const failed = outcomes.flatMap(({ status }, index) =>
      status === 'rejected' ? [`task-${index + 1}`] : [],
    );
    expect(failed).toEqual(['task-37']);
    expect([...store.tasks.values()].map(({ name }) => name)).toEqual(
      names(1, 100).filter((name) => name !== 'task-37'),
    );
    // Halving: two inserts a level for 100 tasks, not one a task.
    expect(store.inserts.length).toBeLessThanOrEqual(1 + 2 * 7);
  });

  it('gives a failure to every submission of its batch, and goes on with the next', async () => {
    const { store, submit } = start();
    store.fault = new StoreUnavailableError('away');
    const outcomes = await Promise.allSettled(names(1, 3).map((name) => submit(name)));
    expect(outcomes).toEqual(names(1, 3).map(() => ({ status: 'rejected', reason: store.fault })));
    store.fault = undefined;
    expect(await submit('task-4')).toMatchObject({ name: 'task-4' });
  });

  it('closes when what it has accepted is written, and accepts nothing more', async () => {
    const { store, batcher, submit } = start({ batchTasks: 1 });
    const accepted = Promise.all(names(1, 3).map((name) => submit(name)));
    await batcher.close();
    expect(store.tasks.size).toBe(3);
    await accepted;
    await expect(submit('late')).rejects.toThrow(SubmissionRefusedError);
    await batcher.close();
  });
});
