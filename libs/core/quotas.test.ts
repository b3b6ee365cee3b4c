import { describe, expect, it } from 'vitest';
import { quotas } from './quotas.ts';
import type { Claimant } from './quotas.ts';

type Claims = Record<string, Partial<Omit<Claimant, 'id'>>>;

/** The quotas by id; a claimant is of weight 1, without limit and zone, and holds nothing, but for what is said. */
function share(total: number, claims: Claims): Record<string, number> {
  const claimants = Object.entries(claims).map(([id, claim]) => {
    return { id, weight: 1, limit: total, zone: undefined, holds: 0, ...claim };
  });
  return Object.fromEntries(quotas(total, claimants));
}

describe('weights', () => {
  it('give twice the quota for twice the weight', () => {
    expect(share(60, { a: {}, b: { weight: 2 }, c: { weight: 3 } })).toEqual({ a: 10, b: 20, c: 30 });
  });

  it('may be fractions that binary has not: a whole share is whole, nothing to be rounded', () => {
    const holding = {
      a: { weight: 0.1, holds: 2 },
      b: { weight: 0.1, holds: 4 },
      c: { weight: 0.1, holds: 3 },
    };
    expect(share(9, holding)).toEqual({ a: 3, b: 3, c: 3 });
  });

  it('that do not divide evenly round up where the remainder is largest, as long as nobody holds anything', () => {
    // Shares of 2.5, 3.75 and 3.75.
    expect(share(10, { a: { weight: 2 }, b: { weight: 3 }, c: { weight: 3 } })).toEqual({ a: 2, b: 4, c: 4 });
  });

  it('move nothing for a remainder alone: what stands stays while it is a rounding of the shares', () => {
    const holding = { a: { weight: 2, holds: 3 }, b: { weight: 3, holds: 3 }, c: { weight: 3, holds: 4 } };
    expect(share(10, holding)).toEqual({ a: 3, b: 3, c: 4 });
  });
});

describe('equal weights', () => {
  it('round up those who hold most', () => {
    expect(share(7, { a: { holds: 3 }, b: { holds: 4 }, c: {} })).toEqual({ a: 2, b: 3, c: 2 });
  });
});

describe('zones', () => {
  it('share by the weights in them, those without a zone as one', () => {
    const claims = { a1: { zone: 'a' }, a2: { zone: 'a' }, b: { zone: 'b', weight: 2 }, c: {}, d: {} };
    expect(share(18, claims)).toEqual({ a1: 3, a2: 3, b: 6, c: 3, d: 3 });
  });

  it('are rounded as wholes, so that one zone’s failure costs no more than it must', () => {
    // Shares of 1.5, and of 4.5 a zone.
    const ids = ['a1', 'a2', 'a3', 'b1', 'b2', 'b3'];
    const zoned = share(9, Object.fromEntries(ids.map((id) => [id, { zone: id.charAt(0) }])));
    expect(zoned).toEqual({ a1: 2, a2: 2, a3: 1, b1: 2, b2: 1, b3: 1 });
    const unzoned = share(9, Object.fromEntries(ids.map((id) => [id, {}])));
    expect(unzoned).toEqual({ a1: 2, a2: 2, a3: 2, b1: 1, b2: 1, b3: 1 });
  });

  it('are rounded up where that saves a move', () => {
    // Shares of 5/3, and of 10/3 and 5/3 a zone.
    const a2 = { zone: 'a', holds: 2 };
    expect(share(5, { a1: { zone: 'a' }, a2, b1: { zone: 'b' } })).toEqual({ a1: 1, a2: 2, b1: 2 });
    expect(share(5, { a1: a2, a2, b1: { zone: 'b', holds: 1 } })).toEqual({ a1: 2, a2: 2, b1: 1 });
  });

  it('whose shares are whole get just that, whoever in them holds more', () => {
    // Shares of 1.5, and of 3, 1.5 and 1.5 a zone.
    const a = { zone: 'a', holds: 2 };
    expect(share(6, { a1: a, a2: a, b: { zone: 'b' }, c: { zone: 'c' } })).toEqual({
      a1: 2,
      a2: 1,
      b: 2,
      c: 1,
    });
  });
});

describe('limits', () => {
  it('leave the excess to the others, by their weights', () => {
    expect(share(12, { a: { limit: 2 }, b: {}, c: {} })).toEqual({ a: 2, b: 5, c: 5 });
    expect(share(12, { a: { limit: 3 }, b: { weight: 2 }, c: {} })).toEqual({ a: 3, b: 6, c: 3 });
  });

  it('that bind one after the other as the excess grows are all kept', () => {
    expect(share(12, { a: { limit: 1 }, b: { limit: 4 }, c: {} })).toEqual({ a: 1, b: 4, c: 7 });
  });

  it('leave the excess in the zone as far as others there can take it, else to the other zones', () => {
    const a1 = { zone: 'a', limit: 1 };
    const b1 = { zone: 'b', weight: 2 };
    expect(share(12, { a1, a2: { zone: 'a' }, b1 })).toEqual({ a1: 1, a2: 5, b1: 6 });
    expect(share(12, { a1, a2: { zone: 'a', limit: 3 }, b1 })).toEqual({ a1: 1, a2: 3, b1: 8 });
  });

  it('may be nothing at all, and fill up entirely', () => {
    expect(share(5, { a: { limit: 0 }, b: { limit: 2 }, c: { limit: 3 } })).toEqual({ a: 0, b: 2, c: 3 });
    expect(share(0, { a: { limit: 0 } })).toEqual({ a: 0 });
    expect(share(0, {})).toEqual({});
  });
});
