import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../libs/testing/manual-clock.ts';
import { DatabaseTime } from './database-time.ts';

describe('the database’s time as a worker sees it', () => {
  it('is the wall clock until the database has answered', () => {
    const clock = new ManualClock({ wallMs: 5_000 });
    expect(new DatabaseTime(clock).nowMs()).toBe(5_000);
  });

  it('takes the middle of the round trip, and goes on with the monotonic clock', async () => {
    const clock = new ManualClock();
    const time = new DatabaseTime(clock);
    await clock.advance(10);
    time.observe(90_000, 0);
    expect(time.nowMs()).toBe(90_005);
    await clock.advance(100);
    clock.stepWall(3_600_000);
    expect(time.nowMs()).toBe(90_105);
  });

  it('keeps the sample of the shortest round trip, but not for ever', async () => {
    const clock = new ManualClock();
    const time = new DatabaseTime(clock);
    await clock.advance(2);
    time.observe(50_001, 0);
    await clock.advance(100);
    // A reply that was long on its way: all it says is that the time lies between 50,002 and 50,102.
    time.observe(50_090, 2);
    expect(time.nowMs()).toBe(50_102);
    await clock.advance(30_000);
    time.observe(200_000, clock.monotonicMs() - 40);
    expect(time.nowMs()).toBe(200_020);
  });

  it.each([-5_000, 5_000])('follows at once when the database’s clock is set by %i ms', async (stepMs) => {
    const clock = new ManualClock();
    const time = new DatabaseTime(clock);
    await clock.advance(2);
    time.observe(50_001, 0);
    await clock.advance(10);
    time.observe(50_007 + stepMs, 2);
    expect(time.nowMs()).toBe(50_012 + stepMs);
  });
});
