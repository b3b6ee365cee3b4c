import { expect, it } from 'vitest';
import { keptLog } from '../../libs/testing/kept-log.ts';
import { StatementCancelledError } from '../../libs/db/stores.ts';
import { ManualClock } from '../../libs/testing/manual-clock.ts';
import { seededRandom } from '../../libs/testing/seeded-random.ts';
import { Availability } from './availability.ts';
import { Unhandled } from './unhandled.ts';

it('tasks without a handler are counted, and told of when that changes, or now and then', async () => {
  const clock = new ManualClock();
  const { logger, said } = keptLog();
  let waiting: { name: string; count: number }[] = [];
  const asked: unknown[] = [];
  const unhandled = new Unhandled({
    store: {
      unhandled(partitions, names) {
        asked.push([partitions, names]);
        return Promise.resolve(waiting);
      },
    },
    handledNames: ['known'],
    held: () => [{ partition: 3, epoch: 1, incarnation: 'i' }],
    ...{ clock, logger, availability: new Availability({ clock, random: seededRandom(1), logger }) },
  });
  await unhandled.runOnce();
  expect([said, asked]).toEqual([[], [[[3], ['known']]]]);
  waiting = [{ name: 'unknown', count: 2 }];
  await unhandled.runOnce();
  await unhandled.runOnce();
  expect(said).toEqual([
    'Events wait for a handler that this worker does not have: until it is replaced by one that has, or a tag is ' +
      'required that only workers with the handler carry; all should have the same',
  ]);
  await clock.advance(600_000);
  await unhandled.runOnce();
  expect(said).toHaveLength(2);
  waiting = [];
  await unhandled.runOnce();
  await unhandled.runOnce();
  expect(said.slice(2)).toEqual(['No event of this worker’s partitions waits for a handler any more']);
});

it('counting takes a fiftieth of the time at most, and rests for five minutes after it has failed for long', async () => {
  const clock = new ManualClock();
  const { logger, said } = keptLog();
  let tookMs = 1_000;
  let looks = 0;
  const unhandled = new Unhandled({
    store: {
      async unhandled() {
        looks += 1;
        await clock.advance(tookMs);
        if (tookMs === 15_000) throw new StatementCancelledError('statement timeout');
        return [];
      },
    },
    handledNames: ['known'],
    held: () => [{ partition: 3, epoch: 1, incarnation: 'i' }],
    ...{ clock, logger, availability: new Availability({ clock, random: seededRandom(1), logger }) },
  });
  await unhandled.runOnce();
  await clock.advance(48_999);
  await unhandled.runOnce();
  expect(looks).toBe(1);
  await clock.advance(1);
  tookMs = 15_000;
  await expect(unhandled.runOnce()).rejects.toThrow(StatementCancelledError);
  expect(said).toEqual(['statement cut off: trying again']);
  await clock.advance(299_999);
  await unhandled.runOnce();
  expect(looks).toBe(2);
  await clock.advance(1);
  await expect(unhandled.runOnce()).rejects.toThrow(StatementCancelledError);
});
