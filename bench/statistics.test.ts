import { describe, expect, it } from 'vitest';
import { quantile, ratios, spread } from './statistics.ts';

describe('quantile', () => {
  it('takes the middle of an odd number, and the mean of the two middle ones of an even number', () => {
    expect(quantile([3, 1, 2], 0.5)).toBe(2);
    expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
  });

  it('interpolates between ranks, and ends at the extremes', () => {
    const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect(quantile(hundred, 0.99)).toBeCloseTo(99.01);
    expect(quantile(hundred, 0)).toBe(1);
    expect(quantile(hundred, 1)).toBe(100);
  });

  it('of one value is that value, of none no number', () => {
    expect(quantile([7], 0.99)).toBe(7);
    expect(quantile([], 0.5)).toBeNaN();
  });

  it('leaves its argument as it was', () => {
    const values = [3, 1, 2];
    quantile(values, 0.5);
    expect(values).toEqual([3, 1, 2]);
  });
});

describe('spread', () => {
  it('is median, least and greatest', () => {
    expect(spread([10, 30, 20])).toEqual({ median: 20, min: 10, max: 30 });
  });
});

describe('ratios', () => {
  it('pairs what was measured in the same round', () => {
    // A machine that halves its speed from round to round changes nothing in the ratio.
    expect(ratios([40, 20, 10], [20, 10, 5])).toEqual([2, 2, 2]);
  });

  it('stops at the first round that one of them lacks', () => {
    expect(ratios([40, 20], [20])).toEqual([2]);
    expect(ratios([], [20])).toEqual([]);
  });
});
