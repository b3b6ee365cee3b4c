/** How attempts go and end, as their tasks and handlers say. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TaskRecord } from '../../libs/db/stores.ts';
import { PermanentFailure, RetryLater } from '../../libs/handlers/index.ts';
import type { HandlerContext } from '../../libs/handlers/index.ts';
import { deferred } from '../../libs/testing/deferred.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import type { Handler } from './handlers/handler.ts';
import { Workbench } from './testing/worker-under-test.ts';

const ALL = { id: 'w1', partitions: [0, 1, 2, 3] };

describe('an attempt', () => {
  let bench: Workbench;
  beforeEach(async () => {
    bench = await Workbench.open(4);
  });
  afterEach(() => bench.close());

  const outcomes = async (id: number) => (await bench.tasks.attempts(id))?.map(({ outcome }) => outcome);

  it('is repeated as often as its task says, and each is told of', async () => {
    const thrown = Object.assign(new TypeError('no such thing'), { name: 'Odd' });
    await bench.startWorker({ ...ALL, handler: () => Promise.reject(thrown) });
    const backoff = { baseMs: 1, maxMs: 1, factor: 1 };
    const { id } = await bench.submit('x', { policy: { maxAttempts: 3, backoff } });
    expect(await bench.ended(id)).toMatchObject({ status: 'FAILED', attempt: 3, failures: 3 });
    const attempts = await bench.tasks.attempts(id);
    expect(attempts).toMatchObject(
      [3, 2, 1].map((attempt) => ({
        ...{ attempt, workerId: 'w1', epoch: 1, outcome: 'FAILED' },
        error: { name: 'Odd', message: 'no such thing' },
      })),
    );
    expect(attempts?.[0]?.error?.stack).toContain('attempts.integration.test');
    expect(attempts?.[0]?.endedAtMs).toBeGreaterThanOrEqual(attempts?.[0]?.startedAtMs ?? Infinity);
  });

  it('that completes at once is told of, with its result', async () => {
    await bench.startWorker({ ...ALL, handler: () => Promise.resolve('{"sum":6}') });
    const { id } = await bench.submit('x');
    expect(await bench.ended(id)).toMatchObject({ status: 'COMPLETED', result: { sum: 6 } });
    expect(await bench.tasks.attempts(id)).toMatchObject([
      { attempt: 1, workerId: 'w1', epoch: 1, outcome: 'COMPLETED', error: null },
    ]);
  });

  it('whose outcome cannot be stored has failed, and says why', async () => {
    await bench.startWorker({
      ...ALL,
      handler: (_, { name }) => Promise.resolve(name === 'odd' ? '"\\u0000"' : '1'),
    });
    const [{ id: odd }, { id: good }] = [await bench.submit('odd'), await bench.submit('good')];
    const lastError = expect.stringMatching(/^how it ended cannot be stored: .*Unicode/) as string;
    expect(await bench.ended(odd)).toMatchObject({ status: 'FAILED', attempt: 1, failures: 1, lastError });
    expect(await bench.ended(good)).toMatchObject({ status: 'COMPLETED', result: 1 });
  });

  it('that will never succeed is the last', async () => {
    await bench.startWorker({ ...ALL, handler: () => Promise.reject(new PermanentFailure('gone')) });
    const { id } = await bench.submit('x');
    expect(await bench.ended(id)).toMatchObject({ status: 'FAILED', attempt: 1, lastError: 'gone' });
  });

  it('that is to be tried again later costs no failure, and waits', async () => {
    const startedAtMs: number[] = [];
    await bench.startWorker({
      ...ALL,
      handler: () => {
        startedAtMs.push(performance.now());
        return startedAtMs.length === 1
          ? Promise.reject(new RetryLater({ afterMs: 300 }))
          : Promise.resolve();
      },
    });
    const { id } = await bench.submit('x', { policy: { maxAttempts: 1 } });
    expect(await bench.ended(id)).toMatchObject({ status: 'COMPLETED', attempt: 2, failures: 0 });
    expect((startedAtMs[1] ?? 0) - (startedAtMs[0] ?? 0)).toBeGreaterThanOrEqual(300);
    expect(await outcomes(id)).toEqual(['COMPLETED', 'HANDED_BACK']);
  });

  it('is fenced by a claim later than those of all before it in its line, whichever tasks these were of', async () => {
    const tokens: HandlerContext['fencingToken'][] = [];
    await bench.startWorker({
      ...ALL,
      handler: (_, { name, attempt, fencingToken }) => {
        tokens.push(fencingToken);
        return name === 'first' && attempt < 3 ? Promise.reject(new Error('not yet')) : Promise.resolve();
      },
    });
    const line = { key: 'line', serial: true, policy: { backoff: { baseMs: 1, maxMs: 1, factor: 1 } } };
    await bench.submit('first', line);
    const { id } = await bench.submit('second', line);
    expect(await bench.ended(id)).toMatchObject({ status: 'COMPLETED' });
    expect(tokens.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 1]);
    const claims = tokens.map(({ claim }) => claim);
    expect(claims).toEqual([...new Set(claims)].sort((a, b) => a - b));
  });

  it('shows how far its handler says it has got, and not how far an earlier one had', async () => {
    const goesOn = [deferred<undefined>(), deferred<undefined>()] as const;
    await bench.startWorker({
      ...ALL,
      handler: async (_, { attempt, progress }) => {
        if (attempt === 1) progress(0.25, 'a quarter');
        await goesOn[attempt === 1 ? 0 : 1].promise;
        if (attempt === 1) throw new Error('not yet');
        progress(1);
      },
    });
    const backoff = { baseMs: 1, maxMs: 1, factor: 1 };
    const { id } = await bench.submit('x', { policy: { backoff } });
    const shows = (what: string, is: (task: TaskRecord) => boolean) =>
      eventually(
        what,
        async () => {
          const task = await bench.tasks.get(id);
          return task !== null && is(task) && task;
        },
        { withinMs: 5_000 },
      );
    expect(await shows('progress', ({ progress }) => progress !== null)).toMatchObject({
      ...{ status: 'RUNNING', attempt: 1, progress: { done: 0.25, note: 'a quarter' } },
    });
    goesOn[0].resolve(undefined);
    const second = await shows(
      'the second attempt',
      ({ attempt, status }) => attempt === 2 && status === 'RUNNING',
    );
    expect(second.progress).toBeNull();
    goesOn[1].resolve(undefined);
    expect(await bench.ended(id)).toMatchObject({ status: 'COMPLETED', attempt: 2, failures: 1 });
  });

  describe('that takes longer than its task allows', () => {
    const policy = { maxAttempts: 1, timeoutMs: 100 };

    it('is aborted, and has failed', async () => {
      await bench.startWorker({
        ...ALL,
        handler: (_, { signal }) =>
          new Promise((_resolve, reject) =>
            signal.addEventListener('abort', () => reject(signal.reason as Error)),
          ),
      });
      const { id } = await bench.submit('x', { policy });
      expect(await bench.ended(id)).toMatchObject({
        ...{ status: 'FAILED', failures: 1, lastError: 'it took longer than its task allows' },
      });
    });

    it('has failed though its handler returns', async () => {
      await bench.startWorker({
        ...ALL,
        handler: (_, { signal }) =>
          new Promise((resolve) => signal.addEventListener('abort', () => resolve(undefined))),
      });
      const { id } = await bench.submit('x', { policy });
      expect(await bench.ended(id)).toMatchObject({ status: 'FAILED' });
    });

    it('is given up where its handler does not heed that, and what it does later does not count', async () => {
      const late = deferred<undefined>();
      await bench.startWorker({ ...ALL, handler: () => late.promise });
      const { id } = await bench.submit('x', { policy });
      expect(await bench.ended(id)).toMatchObject({ status: 'FAILED' });
      late.resolve(undefined);
      const { id: next } = await bench.submit('y');
      await bench.ended(next);
      expect(await bench.tasks.get(id)).toMatchObject({ status: 'FAILED', attempt: 1 });
    });

    it('or its handler, where the task does not say', async () => {
      const never = new Promise<void>(() => undefined);
      await bench.startWorker({ ...ALL, handlerFor: () => ({ timeoutMs: 100, run: () => never }) });
      const { id } = await bench.submit('x', { policy: { maxAttempts: 1 } });
      expect(await bench.ended(id)).toMatchObject({ status: 'FAILED' });
    });
  });

  describe('whose task is cancelled', () => {
    const running = (id: number) =>
      eventually('it runs', async () => (await bench.tasks.get(id))?.status === 'RUNNING', {
        withinMs: 5_000,
      });

    it('is told, and the task is kept as CANCELLED', async () => {
      await bench.startWorker({
        ...ALL,
        handler: (_, { signal }) =>
          new Promise((_resolve, reject) =>
            signal.addEventListener('abort', () => reject(signal.reason as Error)),
          ),
      });
      const { id } = await bench.submit('x');
      await running(id);
      expect(await bench.tasks.cancel(id)).toBe('cancelling');
      expect(await bench.ended(id)).toMatchObject({ status: 'CANCELLED', lastError: 'cancelled by a user' });
    });

    it('is given up where its handler does not heed that', async () => {
      await bench.startWorker({ ...ALL, handler: () => new Promise<void>(() => undefined), graceMs: 0 });
      const { id } = await bench.submit('x');
      await running(id);
      await bench.tasks.cancel(id);
      expect(await bench.ended(id)).toMatchObject({ status: 'CANCELLED', attempt: 1 });
    });

    it('is given up, and what its handler does later does not count', async () => {
      const late = deferred<string>();
      await bench.startWorker({
        ...ALL,
        handler: (_, { name }) => (name === 'deaf' ? late.promise : Promise.resolve()),
      });
      const { id } = await bench.submit('deaf');
      await running(id);
      await bench.tasks.cancel(id);
      await bench.ended(id);
      const ended = await bench.tasks.get(id);
      late.resolve('"done all the same"');
      const { id: next } = await bench.submit('other');
      expect(await bench.ended(next)).toMatchObject({ status: 'COMPLETED' });
      expect(ended).toMatchObject({ status: 'CANCELLED', attempt: 1, result: null });
      expect(await bench.tasks.get(id)).toEqual(ended);
      expect(await outcomes(id)).toEqual(['HANDED_BACK']);
    });
  });
});

describe('tasks of one name', () => {
  let bench: Workbench;
  beforeEach(async () => {
    bench = await Workbench.open(4);
  });
  afterEach(() => bench.close());

  /** A handler whose tasks end when the test lets them. */
  function gated(concurrency?: number) {
    const ends: (() => void)[] = [];
    const seen = { running: 0, most: 0 };
    const handler: Handler = {
      ...(concurrency !== undefined && { concurrency }),
      async run() {
        seen.running += 1;
        seen.most = Math.max(seen.most, seen.running);
        await new Promise<void>((resolve) => ends.push(resolve));
        seen.running -= 1;
      },
    };
    return { handler, seen, endOne: () => ends.shift()?.() };
  }

  it('run as many at a time as their handler allows, and hold up no others', async () => {
    const { handler, seen, endOne } = gated(2);
    await bench.startWorker({
      ...ALL,
      concurrency: 4,
      handlerFor: (name) => (name === 'few' ? handler : { run: () => Promise.resolve() }),
    });
    const few = await Promise.all(Array.from({ length: 8 }, () => bench.submit('few')));
    await eventually('two run', () => seen.running === 2, { withinMs: 5_000 });
    const others = await Promise.all(Array.from({ length: 8 }, () => bench.submit('other')));
    for (const { id } of others) expect(await bench.ended(id)).toMatchObject({ status: 'COMPLETED' });
    expect(seen.running).toBe(2);
    const timer = setInterval(endOne, 5);
    try {
      for (const { id } of few)
        expect(await bench.ended(id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    } finally {
      clearInterval(timer);
    }
    expect(seen.most).toBe(2);
  });

  it('that wait are taken by who owns their partition by then', async () => {
    const { handler, seen, endOne } = gated(1);
    const ids: number[] = [];
    for (let i = 0; i < 4; i++) ids.push((await bench.submit('few')).id);
    const { setHeld } = await bench.startWorker({ ...ALL, handlerFor: () => handler });
    const standing = async (status: string) => {
      const tasks = await Promise.all(ids.map((id) => bench.tasks.get(id)));
      return tasks.flatMap((task) => (task?.status === status ? [task] : []));
    };
    const claimed = async () => (await standing('RUNNING')).length === 4;
    await eventually('all are claimed', claimed, { withinMs: 5_000 });
    setHeld([]);
    await bench.startWorker({ ...ALL, id: 'w2', epoch: 2 });
    const others = async () => (await standing('COMPLETED')).length === 3;
    await eventually('the other has run those that waited', others, { withinMs: 5_000 });
    expect(await standing('COMPLETED')).toMatchObject(
      Array.from({ length: 3 }, () => ({ workerId: 'w2', attempt: 2, failures: 0 })),
    );
    expect(seen).toEqual({ running: 1, most: 1 });
    const [last] = await standing('RUNNING');
    endOne();
    expect(await bench.ended(last?.id ?? 0)).toMatchObject({ workerId: 'w1', attempt: 1 });
  });

  it('wait, where nobody here handles them, and cost no attempt', async () => {
    await bench.startWorker({ ...ALL, handledNames: ['known'] });
    const { id: unknown } = await bench.submit('unknown');
    const { id: known } = await bench.submit('known');
    expect(await bench.ended(known)).toMatchObject({ status: 'COMPLETED' });
    expect(await bench.tasks.get(unknown)).toMatchObject({ status: 'PENDING', attempt: 0 });
    await bench.stopWorkers();
    await bench.startWorker({ ...ALL, id: 'w2', epoch: 2, handledNames: ['unknown'] });
    expect(await bench.ended(unknown)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
  });

  it('wait in the partitions of a worker that lacks their handler, until it is replaced by one that has it', async () => {
    await bench.startWorker({ id: 'w1', partitions: [0, 1], handledNames: ['known', 'special'] });
    const { worker: lacking } = await bench.startWorker({
      ...{ id: 'w2', partitions: [2, 3], handledNames: ['known'] },
    });
    const submitted = (name: string) => Promise.all([0, 1, 2, 3].map((part) => bench.submitTo(part, name)));
    const special = await submitted('special');
    const known = await submitted('known');
    for (const { id } of [...special.slice(0, 2), ...known])
      expect(await bench.ended(id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    const waiting = special.slice(2);
    for (const { id } of waiting)
      expect(await bench.tasks.get(id)).toMatchObject({ status: 'PENDING', attempt: 0 });
    await lacking.stop();
    await bench.startWorker({
      ...{ id: 'w3', partitions: [2, 3], epoch: 2, handledNames: ['known', 'special'] },
    });
    for (const { id } of waiting)
      expect(await bench.ended(id)).toMatchObject({ status: 'COMPLETED', attempt: 1, workerId: 'w3' });
  });
});
