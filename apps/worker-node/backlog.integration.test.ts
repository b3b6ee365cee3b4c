import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ExecutionStore } from '../../libs/db/stores.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import { Workbench } from './testing/worker-under-test.ts';

let bench: Workbench;
beforeEach(async () => {
  bench = await Workbench.open(4);
});
afterEach(() => bench.close());

it('claims a backlog whose names soon fill a reply by what fits, without a look in between', async () => {
  const TASKS = 3_000;
  await bench.tasks.insert(
    Array.from({ length: TASKS }, (_, index) => ({
      name: `n${index}`.padEnd(200, 'x'),
      ...{ key: null, payload: null, scheduledAtMs: null },
    })),
  );
  const claims: { asked: number; got: number }[] = [];
  let looksSince = 0;
  let looksBetween = 0;
  let ended = 0;
  const store: ExecutionStore = {
    ...bench.execution,
    peek: (...request) => {
      looksSince += 1;
      return bench.execution.peek(...request);
    },
    claim: async (request) => {
      if (claims.length > 0) looksBetween += looksSince;
      looksSince = 0;
      const result = await bench.execution.claim(request);
      claims.push({ asked: request.limit, got: result.tasks.length });
      return result;
    },
    finish: async (outcomes, settled) => {
      const results = await bench.execution.finish(outcomes, settled);
      ended += outcomes.length;
      return results;
    },
  };
  await bench.startWorker({ id: 'w1', partitions: [0, 1, 2, 3], store, concurrency: TASKS });
  await eventually('all have ended', () => ended === TASKS, { withinMs: 20_000 });
  const [first, second] = claims;
  expect(first?.asked).toBe(1_000);
  expect(first?.got).toBeLessThan(300);
  // What was asked for was got.
  expect(second?.asked).toBeLessThan(300);
  expect(second?.got).toBe(second?.asked);
  expect(claims.reduce((sum, { got }) => sum + got, 0)).toBe(TASKS);
  expect(claims.length).toBeGreaterThan(8);
  // But for those of its own that the worker makes anyway, when it begins and every second.
  expect(looksBetween).toBeLessThan(claims.length / 2);
});

it('reads payloads that do not fit into a claim many at a time, and gives each handler its own', async () => {
  const TASKS = 700;
  const tasks = await bench.tasks.insert(
    Array.from({ length: TASKS }, (_, index) => ({
      name: `n${index}`,
      payload: { index, text: 'x'.repeat(300) },
      ...{ key: null, scheduledAtMs: null },
    })),
  );
  const reads: number[] = [];
  const store: ExecutionStore = {
    ...bench.execution,
    payloads: (attempts) => {
      reads.push(attempts.length);
      return bench.execution.payloads(attempts);
    },
  };
  const given = new Map<number, unknown>();
  await bench.startWorker({
    ...{ id: 'w1', partitions: [0, 1, 2, 3], store, concurrency: 1_000 },
    handlerFor: () => ({
      run: (payload, { id }) => {
        given.set(id, (payload as { index: number }).index);
        return Promise.resolve();
      },
    }),
  });
  await eventually('all have been started', () => given.size === TASKS, { withinMs: 10_000 });
  expect(tasks.map(({ id }) => given.get(id))).toEqual(tasks.map((_, index) => index));
  expect(reads.reduce((sum, length) => sum + length, 0)).toBe(TASKS);
  expect(Math.max(...reads)).toBe(500);
});
