import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assign } from './assignment.ts';
import type { Assignment, Targets } from './assignment.ts';

const workers = (...ids: string[]) => ids.map((id) => ({ id }));
const numbered = (count: number) => workers(...Array.from({ length: count }, (_, i) => `w${i + 1}`));
const unassigned = (partitions: number): Targets => Array<null>(partitions).fill(null);
const balanced = (partitions: number, count: number): Targets =>
  assign(unassigned(partitions), numbered(count), { balance: true }).target;

/** Loads of the workers named, ascending. */
function loads(target: Targets, ids: readonly { id: string }[]): number[] {
  return ids.map(({ id }) => target.filter((t) => t === id).length).sort((a, b) => a - b);
}

/** Any targets over some of ten workers, five of them living at most. */
const anyCluster = fc.record({
  current: fc.array(
    fc.option(
      fc.nat({ max: 9 }).map((n) => `w${n}`),
      { freq: 5 },
    ),
    { maxLength: 120 },
  ),
  live: fc
    .uniqueArray(fc.nat({ max: 9 }), { minLength: 1, maxLength: 10 })
    .map((ns) => workers(...ns.map((n) => `w${n}`))),
});

function orphansOf(current: Targets, live: readonly { id: string }[]): number[] {
  return current.flatMap((id, partition) => (live.some((w) => w.id === id) ? [] : [partition]));
}

describe('the planner', () => {
  it('shares 64 partitions among three workers as 21, 21 and 22', () => {
    const { target, moves } = assign(unassigned(64), workers('a', 'b', 'c'), { balance: true });
    expect(loads(target, workers('a', 'b', 'c'))).toEqual([21, 21, 22]);
    expect(moves).toHaveLength(64);
    expect(new Set(moves.map((move) => move.reason))).toEqual(new Set(['UNASSIGNED']));
  });

  it('moves exactly floor(P/(W+1)) partitions to one more worker, all of them to it', () => {
    for (const [partitions, count] of [
      [64, 3],
      [1024, 50],
      [7, 9],
      [60, 3],
    ] as const) {
      const more = numbered(count + 1);
      const { target, moves } = assign(balanced(partitions, count), more, { balance: true });
      expect(moves).toHaveLength(Math.floor(partitions / (count + 1)));
      expect(moves.every(({ to, reason }) => to === `w${count + 1}` && reason === 'BALANCE')).toBe(true);
      expect((loads(target, more).at(-1) ?? 0) - (loads(target, more)[0] ?? 0)).toBeLessThanOrEqual(1);
    }
  });

  it('moves exactly the orphans of one worker fewer', () => {
    for (const [partitions, count] of [
      [64, 4],
      [1024, 50],
      [7, 3],
    ] as const) {
      const before = balanced(partitions, count);
      const { moves } = assign(before, numbered(count).slice(1), { balance: true });
      expect(moves.map((move) => move.partition)).toEqual(orphansOf(before, numbered(count).slice(1)));
      expect(moves.every(({ from, reason }) => from === 'w1' && reason === 'ORPHANED')).toBe(true);
    }
  });

  it('leaves everything as it is while no worker lives, so that one that returns finds its own', () => {
    const before = balanced(64, 3);
    expect(assign(before, [], { balance: true })).toEqual({ target: before, moves: [] });
    const { moves } = assign(before, workers('w2'), { balance: true });
    expect(moves.some((move) => move.from === 'w2')).toBe(false);
  });

  it('without balancing moves orphans only, each to the least loaded', () => {
    const current = ['a', 'a', 'a', 'b', 'gone', 'gone', null];
    const { target, moves } = assign(current, workers('a', 'b', 'c'), { balance: false });
    expect(moves.map(({ partition, reason }) => [partition, reason])).toEqual([
      [4, 'ORPHANED'],
      [5, 'ORPHANED'],
      [6, 'UNASSIGNED'],
    ]);
    expect(loads(target, workers('a', 'b', 'c'))).toEqual([2, 2, 3]);
  });

  it('plans 16,384 partitions on 1,000 workers, one of them new and one gone, in under 100 ms', () => {
    const before = balanced(16_384, 1_000);
    const after = numbered(1_001).slice(1);
    const best = Math.min(
      ...Array.from({ length: 5 }, () => {
        const startedAt = performance.now();
        assign(before, after, { balance: true });
        return performance.now() - startedAt;
      }),
    );
    expect(best).toBeLessThan(100);
  });
});

describe('any plan', () => {
  const consistent = (current: Targets, { target, moves }: Assignment) => {
    const moved = new Map(moves.map((move) => [move.partition, move]));
    expect(moved.size).toBe(moves.length);
    current.forEach((from, partition) => {
      const move = moved.get(partition);
      expect(target[partition]).toBe(move === undefined ? from : move.to);
      if (move !== undefined) expect([move.from, move.to === from]).toEqual([from, false]);
    });
  };

  it('gives every partition to a living worker, loads at most one apart, with the fewest moves there can be', () => {
    fc.assert(
      fc.property(anyCluster, ({ current, live }) => {
        const plan = assign(current, live, { balance: true });
        consistent(current, plan);
        expect(orphansOf(plan.target, live)).toEqual([]);
        const after = loads(plan.target, live);
        expect((after.at(-1) ?? 0) - (after[0] ?? 0)).toBeLessThanOrEqual(1);

        // The bound: orphans move, and all that exceeds a floor except where a ceiling can absorb it.
        const floor = Math.floor(current.length / live.length);
        const over = loads(current, live).filter((load) => load > floor);
        const excess = over.reduce((sum, load) => sum + load - floor, 0);
        const absorbed = Math.min(over.length, current.length % live.length);
        expect(plan.moves).toHaveLength(orphansOf(current, live).length + excess - absorbed);
      }),
    );
  });

  it('needs no more moves than the best of all balanced assignments, tried one by one', () => {
    const small = fc.record({
      current: fc.array(fc.constantFrom('a', 'b', 'c', 'gone', null), { maxLength: 6 }),
      live: fc.subarray(['a', 'b', 'c'], { minLength: 1 }).map((ids) => workers(...ids)),
    });
    fc.assert(
      fc.property(small, ({ current, live }) => {
        const spread = current.length % live.length === 0 ? 0 : 1;
        let fewest = Infinity;
        for (let n = 0; n < live.length ** current.length; n += 1) {
          const candidate = current.map((_, p) => live[Math.floor(n / live.length ** p) % live.length]?.id);
          const counts = live.map(({ id }) => candidate.filter((t) => t === id).length);
          if (Math.max(...counts) - Math.min(...counts) !== spread) continue;
          fewest = Math.min(fewest, candidate.filter((id, p) => id !== current[p]).length);
        }
        expect(assign(current, live, { balance: true }).moves).toHaveLength(fewest);
      }),
    );
  });

  it('is stable: planned again, nothing moves', () => {
    fc.assert(
      fc.property(anyCluster, fc.boolean(), ({ current, live }, balance) => {
        const { target } = assign(current, live, { balance });
        expect(assign(target, live, { balance })).toEqual({ target, moves: [] });
      }),
    );
  });

  it('does not depend on the order in which the workers are named', () => {
    fc.assert(
      fc.property(anyCluster, fc.boolean(), fc.nat(), ({ current, live }, balance, shift) => {
        const other = [...live.slice(shift % live.length), ...live.slice(0, shift % live.length)].reverse();
        expect(assign(current, other, { balance })).toEqual(assign(current, live, { balance }));
      }),
    );
  });

  it('without balancing moves the orphans alone, none to a worker that another undercuts by more than one', () => {
    fc.assert(
      fc.property(anyCluster, ({ current, live }) => {
        const plan = assign(current, live, { balance: false });
        consistent(current, plan);
        expect(plan.moves.map((move) => move.partition)).toEqual(orphansOf(current, live));
        const least = loads(plan.target, live)[0] ?? 0;
        for (const { to } of plan.moves) {
          expect(plan.target.filter((id) => id === to).length - 1).toBeLessThanOrEqual(least);
        }
      }),
    );
  });
});
