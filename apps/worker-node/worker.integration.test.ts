import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StatementCancelledError } from '../../libs/db/stores.ts';
import type { ExecutionStore } from '../../libs/db/stores.ts';
import { deferred } from '../../libs/testing/deferred.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import {
  holdingClaimReplies,
  LEASE_MS,
  losingReplies,
  withoutFinish,
  Workbench,
} from './testing/worker-under-test.ts';
import { RECONCILE_MS } from './reconciler.ts';

/** Far more than a look takes, on a busy machine. */
const LOOK_MS = 500;

describe('a worker', () => {
  let bench: Workbench;
  beforeEach(async () => {
    bench = await Workbench.open(4);
  });
  afterEach(() => bench.close());

  const running = (id: number) =>
    eventually('it runs', async () => (await bench.tasks.get(id))?.status === 'RUNNING', {
      withinMs: 5_000,
    });

  it('runs what is due in its partitions, with its payload, and records who did', async () => {
    const seen: unknown[] = [];
    await bench.startWorker({
      id: 'w1',
      partitions: [0, 1, 2, 3],
      handler: (payload) => {
        seen.push(payload);
        return Promise.resolve();
      },
    });
    const { id } = await bench.submit('hello');
    expect(await bench.ended(id)).toMatchObject({
      status: 'COMPLETED',
      attempt: 1,
      workerId: 'w1',
      lastError: null,
    });
    expect(seen).toEqual([{ of: 'hello' }]);
  });

  it('says which partitions it polls when that changes, and that there are none but once', async () => {
    const { setHeld, said, incarnation } = await bench.startWorker({ id: 'w1', partitions: [3, 1] });
    setHeld([{ partition: 1, epoch: 1, incarnation }]);
    setHeld([{ partition: 1, epoch: 1, incarnation }]);
    setHeld([]);
    setHeld([]);
    expect(said.filter((line) => line.startsWith('Polling'))).toEqual([
      'Polling events for partitions: [1, 3]',
      'Polling events for partitions: [1]',
      'Polling events for partitions: [] (none is assigned to this worker)',
    ]);
  });

  it('asks once for a partition that is another’s by now, though the keeper names it while it asks', async () => {
    const asked: (readonly number[])[] = [];
    let whileAsking = () => {};
    const store: ExecutionStore = {
      ...bench.execution,
      claim: async (request) => {
        asked.push(request.held.map(({ partition }) => partition));
        const result = await bench.execution.claim(request);
        whileAsking();
        return result;
      },
    };
    const { setHeld, incarnation } = await bench.startWorker({ id: 'w1', partitions: [0, 1], store });
    whileAsking = () => {
      whileAsking = () => {};
      // Copies, as messages between threads are.
      setHeld([0, 1].map((partition) => ({ partition, epoch: 1, incarnation })));
    };
    const other = { workerId: 'w2', incarnation: 'w2-incarnation', lockTimeoutMs: 1_000 };
    await bench.ownership.acquire({ ...other, grants: [{ partition: 0, epoch: 2 }] });
    await bench.submitTo(0);
    await eventually('it has asked', () => asked.length > 0, { withinMs: 5_000 });
    await bench.ended((await bench.submitTo(1)).id);
    expect(asked.filter((partitions) => partitions.includes(0))).toHaveLength(1);
  });

  it('looks at fewer partitions at a time where all of its own take longer than a statement may', async () => {
    const looked: number[] = [];
    const store: ExecutionStore = {
      ...bench.execution,
      peek: (beyond, ...more) => {
        const fromBeginning = beyond.filter(({ after }) => after === undefined).length;
        looked.push(fromBeginning);
        // As Postgres does after the statement timeout.
        if (fromBeginning > 1) return Promise.reject(new StatementCancelledError('canceling statement'));
        return bench.execution.peek(beyond, ...more);
      },
    };
    await bench.startWorker({ id: 'w1', partitions: [0, 1, 2, 3], store });
    for (const partition of [0, 1, 2, 3]) await bench.ended((await bench.submitTo(partition)).id);
    expect(looked).toContain(1);
  });

  it('never runs more at a time than it is allowed to, and everything in the end', async () => {
    let running = 0;
    let most = 0;
    const gate = deferred<true>();
    await bench.startWorker({
      id: 'w1',
      partitions: [0, 1, 2, 3],
      concurrency: 3,
      handler: async () => {
        running += 1;
        most = Math.max(most, running);
        await gate.promise;
        running -= 1;
      },
    });
    const tasks = await Promise.all(Array.from({ length: 12 }, (_, i) => bench.submit(`task-${i}`)));
    await eventually('it is full', () => running === 3, { withinMs: 5_000 });
    gate.resolve(true);
    for (const { id } of tasks) expect((await bench.ended(id)).status).toBe('COMPLETED');
    expect(most).toBe(3);
  });

  it('tries a failed task again, and says why it failed', async () => {
    await bench.startWorker({
      id: 'w1',
      partitions: [0, 1, 2, 3],
      handler: (_, { attempt }) => (attempt === 1 ? Promise.reject(new Error('not yet')) : Promise.resolve()),
    });
    const { id } = await bench.submit('twice');
    expect(await bench.ended(id)).toMatchObject({
      status: 'COMPLETED',
      attempt: 2,
      failures: 1,
      lastError: 'not yet',
    });
  });

  it('runs what a claim took whose reply was lost, once', async () => {
    const starts: string[] = [];
    await bench.startWorker({
      id: 'w1',
      partitions: [0, 1, 2, 3],
      store: losingReplies(bench.execution, 'claim', 1),
      handler: (_, { id, attempt }) => {
        starts.push(`${id}/${attempt}`);
        return Promise.resolve();
      },
    });
    const { id } = await bench.submit('lost claim');
    expect(await bench.ended(id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    expect(starts).toEqual([`${id}/1`]);
  });

  it('takes an outcome whose reply was lost for recorded', async () => {
    const starts: string[] = [];
    const { worker } = await bench.startWorker({
      id: 'w1',
      partitions: [0, 1, 2, 3],
      store: losingReplies(bench.execution, 'finish', 2),
      handler: (_, { id, attempt }) => {
        starts.push(`${id}/${attempt}`);
        return Promise.resolve();
      },
    });
    const { id } = await bench.submit('lost outcome');
    expect(await bench.ended(id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    await worker.stop();
    expect(starts).toEqual([`${id}/1`]);
  });

  it('tells a running handler that a user wants the task gone at its next look, and the record goes with its outcome', async () => {
    const aborted = new Map<number, { atMs: number; reason: string }>();
    await bench.startWorker({
      id: 'w1',
      partitions: [0, 1, 2, 3],
      handler: (_, { id, signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            aborted.set(id, { atMs: performance.now(), reason: String(signal.reason) });
            reject(signal.reason as Error);
          });
        }),
    });
    // No listener is there to tell it. One after the other: each comes at another time between two looks.
    for (const name of ['first', 'second', 'third']) {
      const { id } = await bench.submit(name);
      await running(id);
      expect(await bench.tasks.remove(id)).toBe('cancelling');
      const removedAtMs = performance.now();
      await eventually('it is gone', async () => (await bench.tasks.get(id)) === null, { withinMs: 5_000 });
      const { atMs = Infinity, reason } = aborted.get(id) ?? {};
      expect(atMs - removedAtMs).toBeLessThan(RECONCILE_MS + LOOK_MS);
      expect(reason).toContain('cancelled by a user');
    }
  });

  it('tells a handler that was overtaken, and its outcome does not count', async () => {
    const overtaken = deferred<string>();
    const { setHeld } = await bench.startWorker({
      id: 'w1',
      partitions: [0, 1, 2, 3],
      handler: (_, { signal }) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => {
            overtaken.resolve(String(signal.reason));
            resolve(undefined);
          });
        }),
    });
    const { id, partitionId } = await bench.submit('overtaken');
    await running(id);

    // Another worker takes the partition, and the first one's lease ends without its knowing.
    setHeld([]);
    await bench.ownership.acquire({
      workerId: 'w2',
      incarnation: 'i2',
      grants: [{ partition: partitionId, epoch: 2 }],
      lockTimeoutMs: 1_000,
    });
    const held = [{ partition: partitionId, epoch: 2, incarnation: 'i2' }];
    await bench.renewedForLong('w2', 'i2');
    await eventually(
      'w2 recovers it',
      async () => {
        await bench.ownership.renew('w1', ['w1-incarnation'], 1);
        return (await bench.execution.recover({ held, own: [], jitter: 0 })).length === 1;
      },
      { withinMs: 5_000 },
    );
    expect(await overtaken.promise).toContain('taken over');
    expect(await bench.tasks.get(id)).toMatchObject({ status: 'PENDING', attempt: 1, failures: 1 });
  });

  it('stops claiming when it stops, finishes what it runs, and hands back what outlasts the grace', async () => {
    const { worker } = await bench.startWorker({
      id: 'w1',
      partitions: [0, 1, 2, 3],
      graceMs: 300,
      handler: (_, { name, signal }) =>
        name === 'short'
          ? Promise.resolve()
          : new Promise((_, reject) =>
              signal.addEventListener('abort', () => reject(signal.reason as Error)),
            ),
    });
    const short = await bench.submit('short');
    const long = await bench.submit('long');
    await bench.ended(short.id);
    await running(long.id);
    await worker.stop();
    expect(await bench.tasks.get(long.id)).toMatchObject({ status: 'PENDING', attempt: 1, failures: 0 });
    const { partitions, workers } = await bench.tasks.cluster();
    expect(partitions.map(({ owner }) => owner)).toEqual([null, null, null, null]);
    expect(workers).toEqual([]);
  });

  it('records what has ended though the database was away, as long as there is grace', async () => {
    const goneUntilMs = performance.now() + 3_500;
    const { worker } = await bench.startWorker({
      id: 'w1',
      partitions: [0, 1, 2, 3],
      graceMs: 8_000,
      store: withoutFinish(bench.execution, () => performance.now() < goneUntilMs),
    });
    const { id } = await bench.submit('ended early');
    await running(id);
    await worker.stop();
    expect(await bench.tasks.get(id)).toMatchObject({ status: 'COMPLETED', attempt: 1, failures: 0 });
  });

  it('runs what it had claimed when it was told to stop, though the reply came after the release', async () => {
    const gate = deferred<true>();
    const { worker } = await bench.startWorker({
      id: 'w1',
      partitions: [0, 1, 2, 3],
      store: holdingClaimReplies(bench.execution, gate.promise),
    });
    const { id } = await bench.submit('claimed late');
    await eventually('it is claimed', async () => (await bench.tasks.get(id))?.status === 'RUNNING', {
      withinMs: 3_000,
    });
    const stopped = worker.stop();
    await eventually(
      'the partitions are released',
      async () => (await bench.tasks.cluster()).partitions.every(({ owner }) => owner === null),
      { withinMs: 3_000 },
    );
    gate.resolve(true);
    await stopped;
    expect(await bench.tasks.get(id)).toMatchObject({ status: 'COMPLETED', attempt: 1, failures: 0 });
  });

  it('recovers the tasks of a worker whose lease has ended, in the partitions it owns', async () => {
    const dead = {
      workerId: 'w0',
      incarnation: 'i0',
      grants: [0, 1, 2, 3].map((partition) => ({ partition, epoch: 1 })),
    };
    await bench.ownership.renew('w0', ['i0'], LEASE_MS);
    await bench.ownership.acquire({ ...dead, lockTimeoutMs: 1_000 });
    const { id, partitionId } = await bench.submit('orphan');
    const held = [{ partition: partitionId, epoch: 1, incarnation: 'i0' }];
    const claim = { claimId: '00000000-0000-4000-8000-000000000000', workerId: 'w0', held, limit: 10 };
    expect((await bench.execution.claim(claim)).tasks).toHaveLength(1);

    await bench.startWorker({ id: 'w1', partitions: [0, 1, 2, 3], epoch: 2 });
    const task = await bench.ended(id);
    expect(task).toMatchObject({ status: 'COMPLETED', attempt: 2, failures: 1, workerId: 'w1' });
    expect(task.lastError).toContain('w0');
  });
});
