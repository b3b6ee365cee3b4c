/** Random lives of tasks on the real database, compared with a model; simulation/store has many more, and moves the clock. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DatabaseUnderTest } from '../testing/database-under-test.ts';
import type { WorkerUnderTest } from '../testing/database-under-test.ts';
import { HEIR, PARTITIONS, WORKERS } from '../testing/lifecycle/model.ts';
import type { DatabaseOfTasks } from '../testing/lifecycle/model.ts';
import { lifecycleProperty } from '../testing/lifecycle/property.ts';
import { EVERY_CHANGE } from '../testing/lifecycle/transitions.ts';

/** LIFECYCLE_RUNS=1000 runs more. */
const RUNS = Number(process.env['LIFECYCLE_RUNS'] ?? 100);
/** More than a statement takes on a busy machine, and far less than what the model's times are apart. */
const TOLERANCE_MS = 30_000;

let database: DatabaseUnderTest;
const workers = new Map<string, WorkerUnderTest>();
beforeAll(async () => {
  database = await DatabaseUnderTest.start({ partitions: PARTITIONS });
  for (const id of [...WORKERS, HEIR]) workers.set(id, await database.worker(id));
});
afterAll(() => database.close());

async function freshDatabase(): Promise<DatabaseOfTasks> {
  await database.clear();
  await database.pool.query(
    `DELETE FROM task_attempt; DELETE FROM worker_session;
     UPDATE partition_owner SET epoch = 0, owner = NULL, incarnation = NULL, acquired_at = NULL`,
  );
  const setLease = async (incarnation: string, column: string, ago: string) => {
    await database.pool.query(
      `UPDATE worker_session SET ${column} = now() - $2::interval WHERE incarnation = $1`,
      [incarnation, ago],
    );
  };
  return {
    tasks: database.tasks,
    worker(id) {
      const worker = workers.get(id);
      if (worker === undefined) throw new Error(`there is no worker ${id}`);
      return worker;
    },
    nowMs: () => Date.now(),
    ...{ toleranceMs: TOLERANCE_MS, keepsAttempts: true },
    endLease: (incarnation) => setLease(incarnation, 'expires_at', '1 second'),
    ageLease: (incarnation) => setLease(incarnation, 'unbroken_since', '1 hour'),
  };
}

it(`a task lives by the model, in ${RUNS} runs`, { timeout: 60_000 + 400 * RUNS }, async () => {
  const changes = new Map<string, number>();
  const property = lifecycleProperty(freshDatabase, { maxCommands: 50, movesTime: false, changes });
  await fc.assert(property, { numRuns: RUNS, unbiased: true });
  // In so few runs not every one comes about.
  expect(changes.size).toBeGreaterThan(EVERY_CHANGE.length / 2);
});
