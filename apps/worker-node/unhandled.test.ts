import { expect, it } from 'vitest';
import { keptLog } from '../../libs/testing/kept-log.ts';
import { ManualClock } from '../../libs/testing/manual-clock.ts';
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
    ...{ clock, logger },
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
