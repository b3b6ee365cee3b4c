import { describe, expect, it } from 'vitest';
import type { Held } from '../../../libs/db/stores.ts';
import { acknowledge, planOwnership } from './ownership.ts';

const held = (...parts: [partition: number, epoch: number, incarnation: string][]) =>
  new Map<number, Held>(
    parts.map(([partition, epoch, incarnation]) => [partition, { partition, epoch, incarnation }]),
  );
const nothing = new Map<number, Held>();
const nothingFenced = new Map<number, { granted: number; dbEpoch: number }>();
const grants = (incarnation: string, parts: Record<string, number>, rev = 1) => ({
  incarnation,
  rev,
  parts,
  revoked: {},
});

describe('from grants to ownership', () => {
  it('acquires what is granted and releases what is not', () => {
    const steps = planOwnership(
      { held: held([1, 1, 'me'], [2, 1, 'me']), unsure: nothing, fenced: nothingFenced },
      grants('me', { 2: 1, 3: 5 }),
      'me',
    );
    expect(steps.release.map(({ partition }) => partition)).toEqual([1]);
    expect(steps.acquire).toEqual([{ partition: 3, epoch: 5 }]);
  });

  it('releases what it may have been given, and is granted no more', () => {
    const state = { held: nothing, unsure: held([1, 3, 'me'], [2, 4, 'me']), fenced: nothingFenced };
    const { release } = planOwnership(state, grants('me', { 2: 4 }), 'me');
    expect(release).toEqual([{ partition: 1, epoch: 3, incarnation: 'me' }]);
    expect(acknowledge(state, grants('me', { 2: 4 }), 'me', release).releasing).toEqual([1]);
  });

  it('acquires a partition anew when its epoch has grown', () => {
    const steps = planOwnership(
      { held: held([1, 1, 'me']), unsure: nothing, fenced: nothingFenced },
      grants('me', { 1: 2 }),
      'me',
    );
    expect(steps).toEqual({ release: [], acquire: [{ partition: 1, epoch: 2 }] });
  });

  it('goes on with what an earlier incarnation holds until this one is granted something', () => {
    const state = { held: held([1, 1, 'before'], [2, 1, 'before']), unsure: nothing, fenced: nothingFenced };
    expect(planOwnership(state, grants('before', { 1: 1, 2: 1 }), 'me')).toEqual({
      release: [],
      acquire: [],
    });
    expect(planOwnership(state, null, 'me')).toEqual({ release: [], acquire: [] });
    const steps = planOwnership(state, grants('me', { 1: 2 }), 'me');
    expect(steps.acquire).toEqual([{ partition: 1, epoch: 2 }]);
    expect(steps.release).toEqual([{ partition: 2, epoch: 1, incarnation: 'before' }]);
  });

  it('does not try a fenced grant again, but does try a higher one', () => {
    const fenced = new Map([[1, { granted: 3, dbEpoch: 9 }]]);
    expect(
      planOwnership({ held: held(), unsure: nothing, fenced }, grants('me', { 1: 3 }), 'me').acquire,
    ).toEqual([]);
    expect(
      planOwnership({ held: held(), unsure: nothing, fenced }, grants('me', { 1: 10 }), 'me').acquire,
    ).toEqual([{ partition: 1, epoch: 10 }]);
  });

  it('acknowledges only what this incarnation owns, up to the rev it has seen', () => {
    const state = {
      held: held([1, 1, 'me'], [2, 1, 'before']),
      unsure: nothing,
      fenced: new Map([[3, { granted: 1, dbEpoch: 7 }]]),
    };
    expect(acknowledge(state, grants('me', { 1: 1 }, 12), 'me', [])).toEqual({
      rev: 12,
      owned: { 1: 1 },
      releasing: [],
      fenced: { 3: 7 },
    });
    expect(acknowledge(state, grants('before', {}, 12), 'me', []).rev).toBe(0);
  });
});
