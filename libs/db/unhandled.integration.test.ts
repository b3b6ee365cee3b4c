import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { DatabaseUnderTest } from '../testing/database-under-test.ts';

let database: DatabaseUnderTest;
beforeAll(async () => {
  database = await DatabaseUnderTest.start();
});
afterAll(() => database.close());
afterEach(() => database.clear());

it('counts by name what is due in these partitions and has none of the names given', async () => {
  const worker = await database.worker('w');
  await database.submit(['a', 'a', 'b', 'known'], { partition: 0 });
  await database.submit(['a'], { partition: 0, priority: 5 });
  await database.submit(['a'], { partition: 1 });
  await database.submit(['a'], { partition: 0, scheduledAtMs: Date.now() + 60_000 });
  const count = (partitions: number[], names: string[]) => worker.execution.unhandled(partitions, names);
  expect(await count([0], ['known'])).toEqual([
    { name: 'a', count: 3 },
    { name: 'b', count: 1 },
  ]);
  expect(await count([0, 1], ['known', 'b'])).toEqual([{ name: 'a', count: 4 }]);
  expect(await count([2], [])).toEqual([]);
});

it('counts the beginning of a long backlog', async () => {
  const worker = await database.worker('w');
  await database.submit(
    Array.from({ length: 1_500 }, () => 'a'),
    { partition: 0 },
  );
  expect(await worker.execution.unhandled([0], [])).toEqual([{ name: 'a', count: 1_000 }]);
});
