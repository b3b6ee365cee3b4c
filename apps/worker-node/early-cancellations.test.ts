import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../libs/testing/manual-clock.ts';
import { EarlyCancellations } from './early-cancellations.ts';

describe('a cancellation that comes before its attempt', () => {
  it('is known for five seconds, of that attempt', async () => {
    const clock = new ManualClock();
    const early = new EarlyCancellations(clock);
    early.add(1, 2);
    await clock.advance(4_999);
    expect([early.has(1, 2), early.has(1, 1), early.has(2, 2)]).toEqual([true, false, false]);
    await clock.advance(1);
    expect(early.has(1, 2)).toBe(false);
    early.add(7, 1);
    expect(early.size).toBe(1);
  });

  it('is known from when it last came', async () => {
    const clock = new ManualClock();
    const early = new EarlyCancellations(clock);
    early.add(1, 1);
    early.add(2, 1);
    await clock.advance(3_000);
    early.add(1, 1);
    await clock.advance(3_000);
    expect([early.has(1, 1), early.has(2, 1)]).toEqual([true, false]);
  });

  it('is forgotten when too many have come since', () => {
    const early = new EarlyCancellations(new ManualClock());
    for (let id = 0; id <= 1_000; id++) early.add(id, 1);
    expect([early.size, early.has(0, 1), early.has(1, 1), early.has(1_000, 1)]).toEqual([
      ...[1_000, false, true, true],
    ]);
  });
});
