import { describe, expect, it } from 'vitest';
import { StoreUnavailableError } from '../../libs/db/stores.ts';
import { deferred } from '../../libs/testing/deferred.ts';
import type { Deferred } from '../../libs/testing/deferred.ts';
import { ManualClock } from '../../libs/testing/manual-clock.ts';
import { LookBack } from './look-back.ts';
import type { LookFrom } from './look-back.ts';

function start() {
  const clock = new ManualClock();
  const looks: LookFrom[] = [];
  let answer: Deferred<void> = deferred();
  let ended = 0;
  const lookBack = new LookBack({
    look: (from) => {
      looks.push(from);
      answer = deferred();
      return answer.promise;
    },
    clock,
    onEnd: () => (ended += 1),
  });
  /** Polls whenever it is time, and has each look take so long. */
  const pass = async (ms: number, tookMs: number) => {
    const endMs = clock.monotonicMs() + ms;
    while (clock.monotonicMs() + lookBack.untilMs() <= endMs) {
      await clock.advance(lookBack.untilMs());
      lookBack.poll();
      await clock.advance(tookMs);
      answer.resolve();
      await lookBack.ended();
    }
    return looks.splice(0);
  };
  return { clock, lookBack, looks, pass, answer: () => answer, ended: () => ended };
}

describe('looking back', () => {
  it('happens every second, or two where notifications come, and through everything every five', async () => {
    const { lookBack, pass } = start();
    expect(await pass(6_500, 1)).toEqual([
      ...['BEGINNING', 'RECENTLY', 'RECENTLY', 'RECENTLY', 'RECENTLY', 'RECENTLY', 'BEGINNING'],
    ]);
    lookBack.listening = true;
    expect(await pass(6_000, 1)).toHaveLength(3);
  });

  it('through everything is one at a time, beside which those at what is recent go on', async () => {
    const { clock, lookBack, looks, answer, ended } = start();
    lookBack.poll();
    const everything = answer();
    await clock.advance(lookBack.untilMs());
    lookBack.poll();
    expect([looks, lookBack.untilMs()]).toEqual([['BEGINNING', 'RECENTLY'], Infinity]);
    answer().resolve();
    await clock.advance(10_000);
    lookBack.poll();
    expect([looks.at(-1), ended()]).toEqual(['RECENTLY', 1]);
    answer().resolve();
    everything.resolve();
    await lookBack.ended();
    expect([lookBack.untilMs(), ended()]).toEqual([1_000, 3]);
  });

  it('starts from the beginning once more, at once, where that was wanted meanwhile', async () => {
    const { lookBack, looks, answer } = start();
    lookBack.poll();
    lookBack.want();
    answer().resolve();
    await lookBack.ended();
    expect(lookBack.untilMs()).toBe(0);
    lookBack.poll();
    expect(looks).toEqual(['BEGINNING', 'BEGINNING']);
  });

  it('takes a twentieth of the time from the beginning, and a fifth from recently', async () => {
    const { pass } = start();
    const looks = await pass(130_000, 1_000);
    expect(looks.filter((from) => from === 'BEGINNING').length).toBeLessThanOrEqual(7);
    expect(looks.length).toBeGreaterThan(22);
    expect(looks.length).toBeLessThan(33);
  });

  it('rests for five seconds at most, however long one has taken', async () => {
    const { clock, lookBack, answer } = start();
    lookBack.poll();
    const everything = answer();
    await clock.advance(1_000);
    lookBack.poll();
    await clock.advance(4_000);
    answer().resolve();
    everything.resolve();
    await lookBack.ended();
    expect(lookBack.untilMs()).toBe(1_000);
  });

  it('goes on after the database was away, and ends with any other fault', async () => {
    const { clock, lookBack, looks, answer } = start();
    lookBack.poll();
    answer().resolve(Promise.reject(new StoreUnavailableError('gone')));
    await lookBack.ended();
    await clock.advance(1_000);
    lookBack.poll();
    expect(looks).toEqual(['BEGINNING', 'RECENTLY']);
    answer().resolve(Promise.reject(new TypeError('a fault of ours')));
    await lookBack.ended();
    expect(() => lookBack.poll()).toThrow('a fault of ours');
  });
});
