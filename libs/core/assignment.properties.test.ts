import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assign } from './assignment.ts';
import type { AssignOptions, Assignment, Targets, WorkerSpec } from './assignment.ts';

interface Cluster {
  readonly current: Targets;
  readonly workers: readonly WorkerSpec[];
  readonly options: AssignOptions;
}

const idsUpTo = (count: number) => Array.from({ length: count }, (_, i) => `w${i}`);
const usually = <T>(...values: [T, ...T[]]) =>
  fc.oneof({ arbitrary: fc.constant(values[0]), weight: 4 }, fc.constantFrom(...values));
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
      .subarray(ids, { minLength: 1 })
      .chain((living) => fc.tuple(...living.map((id) => fc.record({ id: fc.constant(id), ...worker })))),
    options: fc.record({ balance: fc.boolean(), requiredTag: usually(undefined, 'ssd') }),
  });
}
const anyCluster = clusters({ partitions: 60, workers: 8, limit: 20 });
const plan = ({ current, workers, options }: Cluster, other?: Partial<AssignOptions>) =>
  assign(current, workers, { ...options, ...other });

const loadOf = (target: Targets, id: string) => target.filter((it) => it === id).length;
const sum = (numbers: readonly number[]) => numbers.reduce((total, n) => total + n, 0);

/** The most that a worker may hold. */
function limitOf({ current, options }: Cluster, worker: WorkerSpec): number {
  const tagged = options.requiredTag === undefined || worker.tags?.includes(options.requiredTag) === true;
  return worker.wish === 'DISABLED' || !tagged
    ? 0
    : Math.min(worker.maxPartitions ?? Infinity, current.length);
}

/** Those that may be given something, with the bounds that their shares set; and what they are to hold together. */
interface Bounds {
  readonly total: number;
  readonly capacity: number;
  readonly receivers: readonly Bounded[];
  readonly zones: readonly (Range & { readonly members: readonly Bounded[] })[];
}
interface Range {
  readonly least: number;
  readonly most: number;
}
type Bounded = Range & { readonly id: string };

function boundsOf(cluster: Cluster): Bounds {
  const receivers = cluster.workers
    .map((worker) => ({ weight: 1, ...worker, limit: limitOf(cluster, worker) }))
    .filter(({ wish, limit }) => wish === 'ENABLED' && limit > 0);
  const capacity = sum(receivers.map(({ limit }) => limit));
  const total = Math.min(cluster.current.length, capacity);
  const groups = [...new Set(receivers.map(({ zone }) => zone))].map((name) => {
    const members = receivers.filter(({ zone }) => zone === name);
    return {
      members,
      weight: sum(members.map((it) => it.weight)),
      limit: sum(members.map((it) => it.limit)),
    };
  });
  const zoneShares = fairShares(total, groups);
  const zones = groups.map(({ members }, z) => {
    const shares = fairShares(zoneShares[z] ?? 0, members);
    return {
      ...rounded(zoneShares[z]),
      members: members.map(({ id }, i) => ({ id, ...rounded(shares[i]) })),
    };
  });
  return { total, capacity, zones, receivers: zones.flatMap(({ members }) => members) };
}

/** The level to which `total` fills vessels as wide as the weights and closed at the limits, by bisection. */
function fairShares(total: number, vessels: readonly { weight: number; limit: number }[]): number[] {
  const filledTo = (level: number) => vessels.map(({ weight, limit }) => Math.min(limit, weight * level));
  let [below, above] = [0, 1_000];
  for (let step = 0; step < 60; step += 1) {
    const level = (below + above) / 2;
    if (sum(filledTo(level)) < total) below = level;
    else above = level;
  }
  return filledTo(above);
}

function rounded(share = 0): Range {
  return { least: Math.floor(share + 1e-6), most: Math.ceil(share - 1e-6) };
}

const within = (load: number, { least, most }: Range) => load >= least && load <= most;

/** Whether every worker and every zone that may receive holds its share, rounded up or down. */
function balancedWithin({ receivers, zones }: Bounds, target: Targets): boolean {
  const load = ({ id }: Bounded) => loadOf(target, id);
  return (
    receivers.every((it) => within(load(it), it)) &&
    zones.every((zone) => within(sum(zone.members.map(load)), zone))
  );
}

/**
 * Tries all assignments that the filters and the bounds permit, for the fewest partitions without a worker, and
 * among those for the fewest moves.
 */
function bestOfAll(cluster: Cluster): { ownerless: number; moves: number } {
  const { current, workers } = cluster;
  const bounds = boundsOf(cluster);
  const most = new Map(bounds.receivers.map((it) => [it.id, it.most]));
  for (const worker of workers) if (worker.wish === 'DRAIN') most.set(worker.id, limitOf(cluster, worker));
  const mayReceive = new Set(bounds.receivers.map(({ id }) => id));
  const target: (string | null)[] = [];
  let best = { ownerless: Infinity, moves: Infinity };

  const tryFrom = (partition: number, ownerless: number, moves: number): void => {
    if (ownerless > best.ownerless || (ownerless === best.ownerless && moves >= best.moves)) return;
    if (partition === current.length) {
      const received = target.filter((id) => id !== null && mayReceive.has(id)).length;
      if (received === bounds.total && balancedWithin(bounds, target)) best = { ownerless, moves };
      return;
    }
    for (const [id, limit] of most) {
      const stays = current[partition] === id;
      if ((!stays && !mayReceive.has(id)) || loadOf(target, id) >= limit) continue;
      target.push(id);
      tryFrom(partition + 1, ownerless, moves + (stays ? 0 : 1));
      target.pop();
    }
    target.push(null);
    tryFrom(partition + 1, ownerless + 1, moves + (current[partition] === null ? 0 : 1));
    target.pop();
  };
  tryFrom(0, 0, 0);
  return best;
}

/** The most partitions that can stay, by dynamic programming over workers and zones: for clusters of any size. */
function mostThatStay({ current }: Cluster, { zones, total }: Bounds): number {
  const combine = (rows: readonly ReadonlyMap<number, number>[]) =>
    rows.reduce(
      (before, row) => {
        const after = new Map<number, number>();
        for (const [load, kept] of before) {
          for (const [more, keptToo] of row) {
            after.set(load + more, Math.max(after.get(load + more) ?? 0, kept + keptToo));
          }
        }
        return after;
      },
      new Map([[0, 0]]),
    );
  const keptAt = ({ id, least, most }: Bounded) =>
    new Map([least, most].map((load) => [load, Math.min(load, loadOf(current, id))]));
  const rows = zones.map((zone) => {
    const row = [...combine(zone.members.map(keptAt))].filter(([load]) => within(load, zone));
    return new Map(row);
  });
  return combine(rows).get(total) ?? NaN;
}

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
      fc.property(clusters({ partitions: 7, workers: 4, limit: 3 }), (cluster) => {
        const { target, moves } = plan(cluster, { balance: true });
        const ownerless = target.filter((id) => id === null).length;
        expect({ ownerless, moves: moves.length }).toEqual(bestOfAll(cluster));
      }),
      { numRuns: 300 },
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
