/**
 * What the planner's tests compare it with: the same promises, worked out in other ways and slowly. Shares come from
 * bisection, the fewest moves from trying everything. Not for production.
 */
import type { AssignOptions, Targets, WorkerSpec } from './assignment.ts';

export interface Cluster {
  readonly current: Targets;
  readonly workers: readonly WorkerSpec[];
  readonly options: AssignOptions;
}

export const loadOf = (target: Targets, id: string) => target.filter((it) => it === id).length;
export const sum = (numbers: readonly number[]) => numbers.reduce((total, n) => total + n, 0);

/** The most that a worker may hold. */
export function limitOf({ current, options }: Cluster, worker: WorkerSpec): number {
  const tagged = options.requiredTag === undefined || worker.tags?.includes(options.requiredTag) === true;
  return worker.wish === 'DISABLED' || !tagged
    ? 0
    : Math.min(worker.maxPartitions ?? Infinity, current.length);
}

/** Those that may be given something, with the bounds that their shares set; and what they are to hold together. */
export interface Bounds {
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

export function boundsOf(cluster: Cluster): Bounds {
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
export function balancedWithin({ receivers, zones }: Bounds, target: Targets): boolean {
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
export function bestOfAll(cluster: Cluster): { ownerless: number; moves: number } {
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
export function mostThatStay({ current }: Cluster, { zones, total }: Bounds): number {
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
