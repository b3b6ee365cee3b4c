import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { WorkerWish } from '../../libs/cluster/records.ts';
import type { Targets } from '../../libs/core/assignment.ts';
import { aged, OLDEST } from './ages.ts';
import { decide } from './decision.ts';
import type { Decision, Planned } from './decision.ts';

const AUTO = { mode: 'AUTO' } as const;
const nobody: ReadonlyMap<string, number> = new Map();

function clusterOf(
  target: Targets,
  ids: readonly string[],
  { wishes = {}, ages }: { wishes?: Record<string, WorkerWish>; ages?: readonly number[] } = {},
): Planned {
  return {
    live: new Map(ids.map((id) => [id, 'i1'])),
    selves: new Map(),
    wishes: new Map(Object.entries(wishes).map(([id, wish]) => [id, { ...wish, version: 0 }])),
    plan: { rev: 1, target, epoch: target.map(() => 1) },
    ages: ages ?? target.map(() => OLDEST),
  };
}

/** The cluster once `target` is published. */
const after = (cluster: Planned, target: Targets): Planned => ({
  ...cluster,
  plan: { ...cluster.plan, target },
  ages: aged(cluster.ages, cluster.plan.target, target),
});

function loadsOf(target: Targets): Record<string, number> {
  const loads: Record<string, number> = {};
  for (const id of target) if (id !== null) loads[id] = (loads[id] ?? 0) + 1;
  return loads;
}
const ownerless = ({ wanted }: Decision) => wanted.target.filter((id) => id === null).length;

const wish = fc.record(
  {
    wish: fc.constantFrom('ENABLED' as const, 'DRAIN' as const, 'DISABLED' as const),
    maxPartitions: fc.nat({ max: 8 }),
    weight: fc.integer({ min: 1, max: 3 }),
    zone: fc.constantFrom('x', 'y'),
  },
  { requiredKeys: [] },
);
const ids = ['a', 'b', 'c', 'd', 'e', 'f'];
const anyCluster = fc.record({
  cluster: fc
    .record({
      target: fc.array(fc.constantFrom(...ids, 'gone', null), { minLength: 1, maxLength: 24 }),
      live: fc.subarray(ids, { minLength: 1 }),
      wishes: fc.dictionary(fc.constantFrom(...ids), wish),
      ages: fc.array(fc.nat({ max: OLDEST }), { minLength: 24, maxLength: 24 }),
    })
    .map(({ target, live, wishes, ages }) =>
      clusterOf(target, live, { wishes, ages: ages.slice(0, target.length) }),
    ),
  quarantined: fc.dictionary(fc.constantFrom(...ids), fc.nat()).map((ends) => new Map(Object.entries(ends))),
});

describe('a decision', () => {
  it('says of each partition where it goes and why: what came to a worker last is given up first', () => {
    // a was away: 0 and 1 came to b and c while it was.
    const target = ['b', 'c', 'b', 'b', 'c', 'c'];
    const cluster = clusterOf(target, ['a', 'b', 'c'], { ages: [0, 0, 3, 3, 3, 3] });
    const { wanted } = decide(cluster, AUTO, nobody);
    expect(wanted).toEqual({
      target: ['a', 'a', 'b', 'b', 'c', 'c'],
      moves: [
        { partition: 0, from: 'b', to: 'a', reason: 'BALANCE' },
        { partition: 1, from: 'c', to: 'a', reason: 'BALANCE' },
      ],
    });
  });

  it('moves exactly what it says it moves', () => {
    fc.assert(
      fc.property(anyCluster, ({ cluster, quarantined }) => {
        const { urgent, wanted } = decide(cluster, AUTO, quarantined);
        for (const { target, moves } of [urgent, wanted]) {
          const moved = [...target.keys()].filter((p) => target[p] !== cluster.plan.target[p]);
          expect(moves.map(({ partition }) => partition)).toEqual(moved);
          for (const { partition, from, to } of moves) {
            expect([from, to]).toEqual([cluster.plan.target[partition], target[partition]]);
          }
        }
      }),
    );
  });

  it('is the same in one go and by way of what is urgent, and once carried out there is none left', () => {
    fc.assert(
      fc.property(anyCluster, ({ cluster, quarantined }) => {
        const { urgent, wanted } = decide(cluster, AUTO, quarantined);
        const then = decide(after(cluster, urgent.target), AUTO, quarantined);
        expect(then.urgent.moves).toEqual([]);
        expect(then.wanted.target).toEqual(wanted.target);
        expect(decide(after(cluster, wanted.target), AUTO, quarantined).wanted.moves).toEqual([]);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('a quarantine', () => {
  const atMostFive = { maxPartitions: 5 };

  it('gives way to partitions that nobody else may hold, and to no others', () => {
    const target = [...Array<string>(5).fill('a'), ...Array<string>(5).fill('b'), null, null];
    const wishes = { a: atMostFive, b: atMostFive };
    const cluster = clusterOf(target, ['a', 'b', 'c'], { wishes });
    const { wanted } = decide(cluster, AUTO, new Map([['c', 1]]));
    expect(loadsOf(wanted.target)).toEqual({ a: 5, b: 5, c: 2 });
    expect(wanted.moves.map(({ reason }) => reason)).toEqual(['UNASSIGNED', 'UNASSIGNED']);
  });

  it('leaves no more partitions without a worker than there would be without it', () => {
    fc.assert(
      fc.property(anyCluster, ({ cluster, quarantined }) => {
        const cautious = ownerless(decide(cluster, AUTO, quarantined));
        expect(cautious).toBe(ownerless(decide(cluster, AUTO, nobody)));
      }),
      { numRuns: 1_000 },
    );
  });
});
