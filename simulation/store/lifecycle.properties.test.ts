/** Thousands of short lives of tasks on the simulation's store, the database's clock set forward and back among them. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { DatabaseOfTasks } from '../../libs/testing/lifecycle/model.ts';
import { lifecycleProperty } from '../../libs/testing/lifecycle/property.ts';
import { EVERY_CHANGE } from '../../libs/testing/lifecycle/transitions.ts';
import { ManualClock } from '../../libs/testing/manual-clock.ts';
import { SimulatedDatabase } from './database.ts';
import type { SessionRow } from './database.ts';
import { simulatedStores } from './stores.ts';

const HOUR_MS = 3_600_000;
/** LIFECYCLE_RUNS=100000 runs more. */
const RUNS = Number(process.env['LIFECYCLE_RUNS'] ?? 1_000);
const LINK = { broken: false, request: atOnce, executed: atOnce, reply: atOnce };

function atOnce(): Promise<void> {
  return Promise.resolve();
}

function freshDatabase(): Promise<DatabaseOfTasks> {
  const clock = new ManualClock();
  const database = new SimulatedDatabase({ clock, uid: 'uid-1', partitions: 2 });
  const storesOf = (applicationName: string) => simulatedStores({ database, link: LINK, applicationName });
  const workers = new Map<string, ReturnType<typeof storesOf>>();
  const setLease = async (incarnation: string, columns: Partial<SessionRow>) => {
    const transaction = database.begin('test');
    await transaction.run({
      name: 'set',
      *execute(x) {
        yield* x.update(
          x.sessions.find(incarnation, x),
          () => true,
          (session) => ({ ...session, ...columns }),
        );
      },
    });
    transaction.commit();
  };
  return Promise.resolve({
    tasks: storesOf('scheduler-api').tasks,
    worker(id) {
      const stores = workers.get(id) ?? storesOf(`worker ${id}`);
      workers.set(id, stores);
      return stores;
    },
    nowMs: () => clock.wallMs(),
    ...{ toleranceMs: 0, keepsAttempts: false },
    endLease: (incarnation) => setLease(incarnation, { expiresAt: clock.wallMs() - 1_000 }),
    ageLease: (incarnation) => setLease(incarnation, { unbrokenSince: clock.wallMs() - HOUR_MS }),
    time: { step: (ms) => clock.stepWall(ms), pass: (ms) => clock.advance(ms) },
  });
}

it(`a task lives by the model, in ${RUNS} runs`, { timeout: 20_000 + 20 * RUNS }, async () => {
  const changes = new Map<string, number>();
  const property = lifecycleProperty(freshDatabase, { maxCommands: 50, movesTime: true, changes });
  await fc.assert(property, { numRuns: RUNS, unbiased: true });
  // Two are rare.
  expect(changes.size).toBeGreaterThanOrEqual(EVERY_CHANGE.length - 2);
});
