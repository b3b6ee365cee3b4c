import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  balancedWithin,
  bestOfAll,
  boundsOf,
  limitOf,
  loadOf,
  mostThatStay,
  sum,
} from './assignment.oracle.ts';
import type { Cluster } from './assignment.oracle.ts';
import { assign } from './assignment.ts';
import type { AssignOptions, Assignment, WorkerSpec } from './assignment.ts';

const idsUpTo = (count: number) => Array.from({ length: count }, (_, i) => `w${i}`);
const usually = <T>(...values: [T, ...T[]]) =>
  fc.oneof({ arbitrary: fc.constant(values[0]), weight: 2 }, fc.constantFrom(...values));
const plainWorker = { weight: usually(1, 2, 3, 5), zone: fc.constantFrom('a', 'b', undefined) };

/** Living workers of the first ids, partitions anywhere among them, at workers long gone, and nowhere. */
function clusters(most: { partitions: number; workers: number; limit: number }): fc.Arbitrary<Cluster> {
  const ids = idsUpTo(most.workers);
  const worker = {
    ...plainWorker,
    tags: usually(['ssd'], []),
    maxPartitions: usually(undefined, ...idsUpTo(most.limit + 1).map((_, limit) => limit)),
    wish: usually('ENABLED' as const, 'DRAIN' as const, 'DISABLED' as const),
  };
  return fc.record({
    current: fc.array(fc.constantFrom(...ids, 'gone', null), { maxLength: most.partitions }),
    workers: fc
      .subarray(ids, { minLength: 2 })
      .chain((living) => fc.tuple(...living.map((id) => fc.record({ id: fc.constant(id), ...worker })))),
    options: fc.record({ balance: fc.boolean(), requiredTag: usually(undefined, 'ssd') }),
  });
}
const anyCluster = clusters({ partitions: 60, workers: 8, limit: 20 });
const plan = ({ current, workers, options }: Cluster, other?: Partial<AssignOptions>) =>
  assign(current, workers, { ...options, ...other });

function expectConsistent({ current }: Cluster, { target, moves }: Assignment): void {
  const moved = moves.map(({ partition }) => partition);
  expect(moved).toEqual([...target.keys()].filter((p) => target[p] !== current[p]));
  for (const { partition, from, to } of moves)
    expect([from, to]).toEqual([current[partition], target[partition]]);
}

describe('any plan', () => {
  it('breaks no filter, and its moves say what it changes', () => {
    fc.assert(
      fc.property(anyCluster, (cluster) => {
        const planned = plan(cluster);
        expectConsistent(cluster, planned);
        for (const worker of cluster.workers) {
          expect(loadOf(planned.target, worker.id)).toBeLessThanOrEqual(limitOf(cluster, worker));
          if (worker.wish === 'DRAIN') expect(planned.moves.filter(({ to }) => to === worker.id)).toEqual([]);
        }
      }),
    );
  });

  it('leaves no partition ownerless, nor with a draining worker, that another may hold', () => {
    fc.assert(
      fc.property(anyCluster, (cluster) => {
        const { target, moves } = plan(cluster);
        const { receivers, total, capacity } = boundsOf(cluster);
        const received = sum(receivers.map(({ id }) => loadOf(target, id)));
        expect(received).toBe(total);
        if (received < capacity) expect(target).not.toContain(null);
        expect(moves.filter(({ to, reason }) => to === null && reason === 'DRAIN')).toEqual([]);
      }),
    );
  });

  it('balanced, gives every worker and every zone its share, rounded up or down', () => {
    fc.assert(
      fc.property(anyCluster, (cluster) => {
        expect(balancedWithin(boundsOf(cluster), plan(cluster, { balance: true }).target)).toBe(true);
      }),
    );
  });

  it('balanced, needs no more moves than the best of all assignments, tried one by one', () => {
    fc.assert(
      fc.property(clusters({ partitions: 8, workers: 4, limit: 4 }), (cluster) => {
        const { target, moves } = plan(cluster, { balance: true });
        const ownerless = target.filter((id) => id === null).length;
        expect({ ownerless, moves: moves.length }).toEqual(bestOfAll(cluster));
      }),
      { numRuns: 500 },
    );
  });

  it('balanced, keeps as many where they are as any rounding of the shares can', () => {
    fc.assert(
      fc.property(anyCluster, (cluster) => {
        const bounds = boundsOf(cluster);
        fc.pre(bounds.total === cluster.current.length);
        const stay = cluster.current.length - plan(cluster, { balance: true }).moves.length;
        expect(stay).toBe(mostThatStay(cluster, bounds));
      }),
    );
  });

  it('unbalanced, moves only what must, and nothing that balancing would move again', () => {
    fc.assert(
      fc.property(anyCluster, (cluster) => {
        const urgent = plan(cluster, { balance: false });
        expect(urgent.moves.filter(({ reason }) => reason === 'BALANCE')).toEqual([]);
        const then = plan({ ...cluster, current: urgent.target }, { balance: true });
        const moved = [...urgent.moves, ...then.moves].map(({ partition }) => partition);
        expect(new Set(moved).size).toBe(moved.length);
        expect(moved).toHaveLength(plan(cluster, { balance: true }).moves.length);
      }),
    );
  });

  it('unbalanced, gives nothing to a worker while another that is below its share has less for its weight', () => {
    fc.assert(
      fc.property(anyCluster, (cluster) => {
        const { target, moves } = plan(cluster, { balance: false });
        const weights = new Map(cluster.workers.map(({ id, weight = 1 }) => [id, weight]));
        const fullness = (id: string, more: number) => (loadOf(target, id) + more) / (weights.get(id) ?? NaN);
        const lacking = boundsOf(cluster).receivers.filter(({ id, least }) => loadOf(target, id) < least);
        for (const { to } of moves) {
          if (to === null) continue;
          for (const { id } of lacking) expect(fullness(to, 0)).toBeLessThanOrEqual(fullness(id, 1));
        }
      }),
    );
  });

  it('planned again, moves nothing', () => {
    fc.assert(
      fc.property(anyCluster, (cluster) => {
        const { target } = plan(cluster);
        expect(plan({ ...cluster, current: target })).toEqual({ target, moves: [] });
      }),
    );
  });

  it('does not depend on the order in which the workers are named', () => {
    fc.assert(
      fc.property(
        anyCluster.chain((cluster) =>
          fc.tuple(
            fc.constant(cluster),
            fc.shuffledSubarray([...cluster.workers], { minLength: cluster.workers.length }),
          ),
        ),
        ([cluster, workers]) => {
          expect(plan({ ...cluster, workers })).toEqual(plan(cluster));
        },
      ),
    );
  });
});

describe('a balanced cluster of any weights and zones', () => {
  const team = fc
    .array(fc.record(plainWorker), { minLength: 2, maxLength: 12 })
    .map((specs) => specs.map((spec, i) => ({ ...spec, id: `w${i}` })));
  const settled = (partitions: number, workers: readonly WorkerSpec[]) =>
    assign(Array<null>(partitions).fill(null), workers, { balance: true }).target;
  const partitions = fc.nat({ max: 300 });

  it('that a worker leaves: the others give up at most one partition each', () => {
    fc.assert(
      fc.property(team, partitions, (workers, count) => {
        const { moves } = assign(settled(count, workers), workers.slice(1), { balance: true });
        const shed = moves.filter(({ reason }) => reason === 'BALANCE').map(({ from }) => from);
        expect(new Set(shed).size).toBe(shed.length);
      }),
    );
  });

  it('that a worker joins: the others receive at most one partition each', () => {
    fc.assert(
      fc.property(team, partitions, (workers, count) => {
        const { moves } = assign(settled(count, workers.slice(1)), workers, { balance: true });
        const received = moves.map(({ to }) => to).filter((to) => to !== 'w0');
        expect(new Set(received).size).toBe(received.length);
      }),
    );
  });

  it('of equal weights without zones: a leave moves the orphans only, a join only what the newcomer gets', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), partitions, (size, count) => {
        const some = idsUpTo(size).map((id) => ({ id }));
        const more = idsUpTo(size + 1).map((id) => ({ id }));
        const joined = assign(settled(count, some), more, { balance: true }).moves;
        expect(joined).toHaveLength(Math.floor(count / (size + 1)));
        expect(joined.every(({ to }) => to === `w${size}`)).toBe(true);
        const left = assign(settled(count, more), some, { balance: true }).moves;
        expect(left.every(({ from, reason }) => from === `w${size}` && reason === 'ORPHANED')).toBe(true);
      }),
    );
  });
});
