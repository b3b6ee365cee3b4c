import { expect, it } from 'vitest';
import { seededRandom } from '../../libs/testing/seeded-random.ts';
import type { ExecutionStore, RunningRow } from '../../libs/db/stores.ts';
import { deferred } from '../../libs/testing/deferred.ts';
import { Availability } from './availability.ts';
import { OwnIncarnations } from './own-incarnations.ts';
import { CONSIDER_MS, RECONCILE_MS, Reconciler } from './reconciler.ts';
import { claimed, ExecutorUnderTest } from './testing/executor-under-test.ts';

/** The database says that it runs `rows`, and what has begun runs until it is let end. */
function reconcilerUnderTest(rows: readonly RunningRow[]) {
  const ends: (() => void)[] = [];
  const bench = new ExecutorUnderTest(() => ({
    run: () => {
      const ended = deferred<undefined>();
      ends.push(() => ended.resolve(undefined));
      return ended.promise;
    },
  }));
  const { clock, executor } = bench;
  const { logger } = bench.log;
  let looks = 0;
  const store: Pick<ExecutionStore, 'running'> = {
    running: () => {
      looks += 1;
      return Promise.resolve([...rows]);
    },
  };
  const ownIncarnations = new OwnIncarnations(clock);
  ownIncarnations.claiming([{ incarnation: 'i', partition: 0 }]);
  const reconciler = new Reconciler({
    store: store as ExecutionStore,
    availability: new Availability({ clock, random: seededRandom(1), logger }),
    ...{ executor, ownIncarnations, clock, logger },
    held: () => [],
    beyond: (partition) => ({ partition }),
    claimInFlight: () => undefined,
    claimLostAtMs: () => -Infinity,
  });
  return {
    ...{ bench, reconciler },
    get looks() {
      return looks;
    },
    endAll: async () => {
      for (const end of ends.splice(0)) end();
      await clock.advance(0);
    },
  };
}

it('does not look at what ends soon after it has begun, however much there is of it', async () => {
  const under = reconcilerUnderTest([]);
  const { bench, reconciler } = under;
  // The first look is made whatever runs.
  await reconciler.runOnce();
  for (let id = 1; id <= 10; id++) {
    bench.executor.accept([claimed(id)]);
    await bench.clock.advance(CONSIDER_MS - 1);
    await reconciler.runOnce();
    await under.endAll();
  }
  expect([under.looks, bench.outcomes.length]).toEqual([1, 10]);
});

it('looks once a second at what has run for longer, and tells one that was overtaken', async () => {
  const under = reconcilerUnderTest([]);
  const { bench, reconciler } = under;
  await reconciler.runOnce();
  bench.executor.accept([claimed(1)]);
  const looks: number[] = [];
  for (let ms = 0; ms < 2 * RECONCILE_MS; ms += CONSIDER_MS) {
    await bench.clock.advance(CONSIDER_MS);
    await reconciler.runOnce();
    looks.push(under.looks);
    if (ms === CONSIDER_MS) bench.executor.accept([claimed(2)]);
  }
  expect(looks).toEqual([1, 2, 2, 3]);
  expect(bench.log.said.filter((line) => line === 'Aborting event')).toHaveLength(2);
});
