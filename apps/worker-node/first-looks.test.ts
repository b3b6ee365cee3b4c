import { describe, expect, it } from 'vitest';
import { StatementCancelledError, StoreUnavailableError } from '../../libs/db/stores.ts';
import { deferred } from '../../libs/testing/deferred.ts';
import type { Deferred } from '../../libs/testing/deferred.ts';
import { ManualClock } from '../../libs/testing/manual-clock.ts';
import { FirstLooks } from './first-looks.ts';

const cutOff = new StatementCancelledError('canceling statement due to statement timeout');

function start(partitions: readonly number[]) {
  const clock = new ManualClock();
  const made: (readonly number[])[] = [];
  const answeredFor: number[] = [];
  let answer: Deferred<void> = deferred();
  let ended = 0;
  const looks = new FirstLooks({
    look: async (looked, waits) => {
      made.push(looked);
      answer = deferred();
      await answer.promise;
      answeredFor.push(...looked.filter(waits));
    },
    clock,
    onEnd: () => (ended += 1),
  });
  for (const partition of partitions) looks.begin(partition);
  /** The next look is made at once, takes so long, and is answered or fails. @returns at what it was */
  const next = async (tookMs = 1, error?: Error) => {
    expect(looks.untilMs()).toBe(0);
    looks.poll();
    await clock.advance(tookMs);
    answer.resolve(error === undefined ? undefined : Promise.reject(error));
    await looks.ended();
    return made.at(-1);
  };
  return { clock, looks, made, answeredFor, next, answer: () => answer, ended: () => ended };
}

describe('the first looks at partitions', () => {
  it('are at all that wait, one at a time, and nothing waits that has been looked at', async () => {
    const { looks, made, answeredFor, next, answer, ended } = start([1, 2]);
    looks.poll();
    looks.begin(3);
    looks.poll();
    expect([made, looks.untilMs(), looks.has(1)]).toEqual([[[1, 2]], Infinity, true]);
    answer().resolve();
    await looks.ended();
    expect([answeredFor, ended(), looks.has(1), looks.has(3)]).toEqual([[1, 2], 1, false, true]);
    expect(await next()).toEqual([3]);
    expect(looks.untilMs()).toBe(Infinity);
  });

  it('do not count for a partition that has gone, or gone and come again, meanwhile', async () => {
    const { looks, answeredFor, next, answer } = start([1, 2, 3]);
    looks.poll();
    looks.drop(1);
    looks.drop(2);
    looks.begin(2);
    answer().resolve();
    await looks.ended();
    expect([answeredFor, looks.has(1), looks.has(2)]).toEqual([[3], false, true]);
    expect(await next()).toEqual([2]);
  });

  it('are at fewer where that takes too long, and at those that do even alone now and then, in turn, after the others', async () => {
    const { clock, looks, next } = start([1, 2, 3, 4]);
    expect(await next(1_000, cutOff)).toEqual([1, 2, 3, 4]);
    // What is new is not held up by what takes long.
    looks.begin(5);
    expect(await next()).toEqual([5]);
    expect(await next(1_000, cutOff)).toEqual([1, 2]);
    expect(await next()).toEqual([3, 4]);
    expect(await next(1_000, cutOff)).toEqual([1]);
    expect(await next(1_000, cutOff)).toEqual([2]);
    // A fifth of the time, both together.
    expect(looks.untilMs()).toBe(4_000);
    looks.begin(6);
    expect(await next()).toEqual([6]);
    await clock.advance(looks.untilMs());
    expect(await next(1_000, cutOff)).toEqual([1]);
    expect(looks.untilMs()).toBe(4_000);
    await clock.advance(4_000);
    expect(await next(1_000, cutOff)).toEqual([2]);
    await clock.advance(4_000);
    expect(await next()).toEqual([1]);
    expect([looks.has(1), looks.has(2)]).toEqual([false, true]);
  });

  it('are at fewer as well after another statement has been cut off, and at one alone not at once', async () => {
    const { clock, looks, next } = start([]);
    looks.tookTooLong([1, 2, 3, 4], 1_000);
    looks.tookTooLong([5], 1_000);
    expect(await next()).toEqual([1, 2]);
    expect(await next()).toEqual([3, 4]);
    expect(looks.untilMs()).toBe(4_000 - 2);
    await clock.advance(looks.untilMs());
    expect(await next()).toEqual([5]);
  });

  it('are made again soon where the database was away, and end with any other fault', async () => {
    const { clock, looks, next } = start([1, 2]);
    await next(20_000, new StoreUnavailableError('gone'));
    expect(looks.untilMs()).toBe(100);
    await clock.advance(100);
    expect(await next(1, new TypeError('a fault of ours'))).toEqual([1, 2]);
    expect(() => looks.poll()).toThrow('a fault of ours');
  });
});
