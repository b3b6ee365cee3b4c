import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../libs/testing/manual-clock.ts';
import { LostClaims } from './lost-claims.ts';

const held = [{ partition: 1, epoch: 4, incarnation: 'a' }];

describe('claims whose reply was lost', () => {
  it('adopts what such a claim took, each task once', () => {
    const claims = new LostClaims(new ManualClock());
    claims.add('c1', held);
    expect(claims.adopt('c1', 10)).toBe(true);
    expect(claims.adopt('c1', 10)).toBe(false);
    expect(claims.adopt('c1', 11)).toBe(true);
  });

  it('never adopts what an answered claim took: that runs already', () => {
    const claims = new LostClaims(new ManualClock());
    expect(claims.adopt('c1', 10)).toBe(false);
  });

  it('asks for the leases they were made under, until no such claim can commit any more', async () => {
    const clock = new ManualClock();
    const claims = new LostClaims(clock);
    claims.add('c1', held);
    expect(claims.incarnations()).toEqual(['a']);
    await clock.advance(121_000);
    expect(claims.incarnations()).toEqual([]);
    expect(claims.adopt('c1', 10)).toBe(false);
  });
});
