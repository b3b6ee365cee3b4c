import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../testing/manual-clock.ts';
import { IdsAhead } from './ids-ahead.ts';

describe('ids reserved ahead', () => {
  let clock: ManualClock;
  let ahead: IdsAhead;
  beforeEach(() => {
    clock = new ManualClock();
    ahead = new IdsAhead(clock, 10);
    ahead.put({ ids: [1, 2, 3, 5, 6], partitions: 64 });
  });

  it('are given once each, in their order', () => {
    expect(ahead.take(3)).toEqual({ ids: [1, 2, 3], partitions: 64 });
    ahead.put({ ids: [9], partitions: 64 });
    expect(ahead.take(3)).toEqual({ ids: [5, 6, 9], partitions: 64 });
    expect(ahead.take(1)).toBeNull();
  });

  it('are given up where they are too few: what is stored next would else have lower ids', () => {
    expect(ahead.take(6)).toBeNull();
    expect(ahead.take(1)).toBeNull();
  });

  it('are given up after a second, during which no more were reserved', async () => {
    await clock.advance(1_000);
    expect(ahead.take(1)).toEqual({ ids: [1], partitions: 64 });
    ahead.put({ ids: [9], partitions: 64 });
    await clock.advance(1_000);
    expect(ahead.take(1)).toEqual({ ids: [2], partitions: 64 });
    await clock.advance(1);
    expect(ahead.take(1)).toBeNull();
  });

  it('are given up where the cluster is another by now', () => {
    ahead.put({ ids: [1], partitions: 16 });
    expect(ahead.take(1)).toEqual({ ids: [1], partitions: 16 });
    expect(ahead.take(1)).toBeNull();
  });

  it('are wanted by many at a time: as many as were taken, or twice as many where there were none', () => {
    expect(ahead.wanted(9, null)).toBe(0);
    expect(ahead.wanted(10, null)).toBe(20);
    expect(ahead.wanted(10, { ids: [], partitions: 64 })).toBe(10);
  });
});
