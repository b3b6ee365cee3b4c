/**
 * Which worker each partition is meant for: exact sticky balancing. Every worker has a quota, its share by weight
 * rounded up or down (quotas.ts); only what exceeds a quota is shed, and no assignment within those bounds needs
 * fewer moves. Wishes, tags and limits are filters: what they forbid is never planned, whatever it costs.
 *
 * The planner looks at targets, not at grants: a partition on its way to a worker counts as that worker's.
 */
import { invariant, unreachable } from './invariant.ts';
import { quotas } from './quotas.ts';

/** What an administrator wants of a worker. DRAIN: give up what others may take. DISABLED: hold nothing at all. */
export type Wish = 'ENABLED' | 'DRAIN' | 'DISABLED';

/** A living worker, as the planner sees it. */
export interface WorkerSpec {
  readonly id: string;
  /** Share of the partitions relative to the others; > 0; default 1. */
  readonly weight?: number;
  /** Failure domain; workers without one are together in a zone of their own. */
  readonly zone?: string;
  readonly tags?: readonly string[];
  /** The most it may ever hold; a whole number. */
  readonly maxPartitions?: number;
  /** Default ENABLED. */
  readonly wish?: Wish;
}

export interface AssignOptions {
  readonly balance: boolean;
  /** Only workers with this tag may hold partitions. */
  readonly requiredTag?: string;
}

/** The worker each partition is meant for, `null` for none; the partition is the index. */
export type Targets = readonly (string | null)[];

/**
 * `UNASSIGNED`: it had no worker; `ORPHANED`: its worker is gone; `BALANCE`: its worker held more than its share;
 * `DRAIN`, `DISABLED`: as wished; `TAG`: its worker lacks the tag; `LIMIT`: its worker held more than it may.
 */
export type MoveReason = 'UNASSIGNED' | 'ORPHANED' | 'BALANCE' | 'DRAIN' | 'DISABLED' | 'TAG' | 'LIMIT';

export interface Move {
  readonly partition: number;
  readonly from: string | null;
  /** `null`: no worker may hold it. */
  readonly to: string | null;
  readonly reason: MoveReason;
}

export interface Assignment {
  readonly target: Targets;
  /** In the order of the partitions; empty exactly where `target` is what it was. */
  readonly moves: readonly Move[];
}

/** A worker with its defaults filled in, and what it keeps. */
interface Holder {
  readonly id: string;
  readonly weight: number;
  readonly zone: string | undefined;
  /** 0 where it is barred. */
  readonly limit: number;
  readonly barred: 'DISABLED' | 'TAG' | null;
  readonly drains: boolean;
  /** Partitions it keeps, ascending; never more than `limit`. */
  readonly held: number[];
}

type Leaving = Omit<Move, 'to'>;

/** Room for one more partition. */
interface Place {
  readonly id: string;
  /** The worker's load for its weight once this one is taken, and those before it. */
  readonly fullness: number;
}

/**
 * Plans the targets of all partitions. Deterministic, whatever the order of `workers`; planned again, nothing moves.
 *
 * With `balance`, every load ends at the worker's quota. Without, only what cannot stay moves, each partition to
 * the worker with the least load for its weight among those below their quota: balancing later does not move it
 * again. Where no worker lives nothing changes, so that one that comes back finds its own; where some live but may
 * not hold all the partitions, what is left has none.
 */
export function assign(
  current: Targets,
  workers: readonly WorkerSpec[],
  { balance, requiredTag }: AssignOptions,
): Assignment {
  if (workers.length === 0) return { target: current, moves: [] };
  const holders = holdersOf(workers, requiredTag, current.length);
  const leaving = settle(current, holders);

  const receivers = [...holders.values()].filter(({ limit, drains }) => limit > 0 && !drains);
  const capacity = receivers.reduce((sum, { limit }) => sum + limit, 0);
  const quota = quotas(
    Math.min(current.length, capacity),
    receivers.map((receiver) => ({ ...receiver, holds: receiver.held.length })),
  );
  const shed = (holder: Holder, keep: number, reason: MoveReason) => {
    for (const partition of holder.held.splice(keep)) leaving.push({ partition, from: holder.id, reason });
  };
  if (balance) for (const receiver of receivers) shed(receiver, quota.get(receiver.id) ?? 0, 'BALANCE');

  const places = freePlaces(receivers, quota);
  for (const holder of holders.values()) {
    // What has no worker comes first: what a draining one keeps is still being worked on.
    const takeable = Math.max(0, places.length - leaving.length);
    if (holder.drains) shed(holder, Math.max(0, holder.held.length - takeable), 'DRAIN');
  }
  const moves = place(leaving, places);

  const target = [...current];
  for (const { partition, to } of moves) target[partition] = to;
  return { target, moves };
}

/** By id, in the order of the ids. */
function holdersOf(
  workers: readonly WorkerSpec[],
  requiredTag: string | undefined,
  partitions: number,
): ReadonlyMap<string, Holder> {
  const holders = new Map<string, Holder>();
  for (const worker of [...workers].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const { id, weight = 1, zone, tags = [], maxPartitions = partitions, wish = 'ENABLED' } = worker;
    invariant(weight > 0 && weight < Infinity, `worker ${id}: a weight is above 0`);
    invariant(
      Number.isInteger(maxPartitions) && maxPartitions >= 0,
      `worker ${id}: a limit is a whole number`,
    );
    const untagged = requiredTag !== undefined && !tags.includes(requiredTag);
    const barred = wish === 'DISABLED' ? 'DISABLED' : untagged ? 'TAG' : null;
    const limit = barred === null ? Math.min(maxPartitions, partitions) : 0;
    holders.set(id, { id, weight, zone, limit, barred, drains: wish === 'DRAIN', held: [] });
  }
  invariant(holders.size === workers.length, 'two workers of one id');
  return holders;
}

/** Leaves with its worker whatever may stay there, and returns the rest. */
function settle(current: Targets, holders: ReadonlyMap<string, Holder>): Leaving[] {
  const leaving: Leaving[] = [];
  current.forEach((from, partition) => {
    const holder = from === null ? undefined : holders.get(from);
    if (holder === undefined) {
      leaving.push({ partition, from, reason: from === null ? 'UNASSIGNED' : 'ORPHANED' });
    } else if (holder.held.length < holder.limit) holder.held.push(partition);
    else leaving.push({ partition, from, reason: holder.barred ?? 'LIMIT' });
  });
  return leaving;
}

/** A place for each partition that a worker lacks, in the order of the workers. */
function freePlaces(receivers: readonly Holder[], quota: ReadonlyMap<string, number>): Place[] {
  const places: Place[] = [];
  for (const { id, weight, held } of receivers) {
    for (let load = held.length + 1; load <= (quota.get(id) ?? 0); load += 1) {
      places.push({ id, fullness: load / weight });
    }
  }
  return places;
}

/** Moves the leaving, those that had a worker first if there is not a place for all of them. */
function place(leaving: readonly Leaving[], places: readonly Place[]): Move[] {
  const byPartition = (a: Leaving, b: Leaving) => a.partition - b.partition;
  const hadWorker = ({ from }: Leaving) => from !== null;
  const urgent = [...leaving.filter(hadWorker), ...leaving.filter((it) => !hadWorker(it))];
  const placed = urgent.slice(0, places.length).sort(byPartition);
  const ownerless = urgent.slice(places.length).filter(hadWorker);
  const receivers = emptiest(places, placed.length);
  // Spelt out, since `...` takes twenty times as long.
  const move = ({ partition, from, reason }: Leaving, to: string | null): Move => ({
    partition,
    from,
    to,
    reason,
  });
  const moves = placed.map((it, i) => move(it, receivers[i]?.id ?? null));
  // Still in order: while places lack, nothing has been shed, and what leaves is as it came.
  return [...moves, ...ownerless.map((it) => move(it, null))];
}

/** The `count` places at the workers that have least to do, in the order they came. */
function emptiest(places: readonly Place[], count: number): readonly Place[] {
  if (count === places.length) return places;
  const chosen = new Set([...places].sort((a, b) => a.fullness - b.fullness).slice(0, count));
  return places.filter((it) => chosen.has(it));
}

/** A move and its reason, for people: `partition 5: worker-1 → worker-2 (worker-1 drains)`. */
export function describeMove({ partition, from, to, reason }: Move): string {
  const why = `${explain(reason, from ?? 'nobody')}${to === null ? '; no worker may hold it' : ''}`;
  return `partition ${partition}: ${from ?? 'nobody'} → ${to ?? 'nobody'} (${why})`;
}

function explain(reason: MoveReason, from: string): string {
  switch (reason) {
    case 'UNASSIGNED':
      return 'it had no worker';
    case 'ORPHANED':
      return `${from} is gone`;
    case 'BALANCE':
      return `${from} holds more than its share`;
    case 'DRAIN':
      return `${from} drains`;
    case 'DISABLED':
      return `${from} is disabled`;
    case 'TAG':
      return `${from} lacks the required tag`;
    case 'LIMIT':
      return `${from} holds more than it may`;
    default:
      return unreachable(reason);
  }
}
