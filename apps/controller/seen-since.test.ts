import { describe, expect, it } from 'vitest';
import { SeenSince } from './seen-since.ts';

describe('what has been seen', () => {
  it('ages from when it was first seen', () => {
    const seen = new SeenSince();
    seen.observe(['a'], 0);
    seen.observe(['a', 'b'], 400);
    expect(seen.olderThan(1_000, 999)).toEqual(new Set());
    expect(seen.untilNextMs(1_000, 999)).toBe(1);
    expect(seen.olderThan(1_000, 1_000)).toEqual(new Set(['a']));
    expect(seen.untilNextMs(1_000, 1_000)).toBe(400);
  });

  it('is forgotten when it is not seen, and is new when it returns', () => {
    const seen = new SeenSince();
    seen.observe(['a'], 0);
    seen.observe([], 500);
    expect(seen.untilNextMs(1_000, 500)).toBe(Infinity);
    seen.observe(['a'], 600);
    expect(seen.olderThan(1_000, 1_500)).toEqual(new Set());
  });
});
