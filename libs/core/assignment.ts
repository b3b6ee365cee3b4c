/**
 * Which worker each partition is meant for: exact sticky balancing. Every worker's quota is floor(P/W) or
 * ceil(P/W), the ceilings go to those who hold most now, and only what exceeds a quota is shed. No balanced
 * assignment needs fewer moves: an orphan must move, and so must whatever a worker holds beyond the largest
 * quota it can be given.
 *
 * The planner looks at targets, not at grants: a partition on its way to a worker counts as that worker's.
 */
import { invariant } from './invariant.ts';

/** A worker that may hold partitions, as the planner sees it. Weights, zones, tags and limits belong here. */
export interface WorkerSpec {
  readonly id: string;
}

/** The worker each partition is meant for, `null` for none; the partition is the index. */
export type Targets = readonly (string | null)[];

/** `UNASSIGNED`: it had no worker; `ORPHANED`: its worker is gone; `BALANCE`: its worker held too many. */
export type MoveReason = 'UNASSIGNED' | 'ORPHANED' | 'BALANCE';

export interface Move {
  readonly partition: number;
  readonly from: string | null;
  readonly to: string;
  readonly reason: MoveReason;
}

export interface Assignment {
  readonly target: Targets;
  /** In the order of the partitions; empty exactly where `target` is what it was. */
  readonly moves: readonly Move[];
}

interface Share {
  readonly id: string;
  /** Partitions it keeps, ascending. */
  readonly held: number[];
  quota: number;
}

/**
 * Plans the targets of all partitions. Deterministic, whatever the order of `workers`.
 *
 * With `balance`, loads end at most one apart. Without, only partitions that lack a living worker move, each
 * to the least loaded. Where there is no worker at all nothing changes, so that one that comes back finds its own.
 */
export function assign(
  current: Targets,
  workers: readonly WorkerSpec[],
  { balance }: { readonly balance: boolean },
): Assignment {
  if (workers.length === 0) return { target: current, moves: [] };

  const shares = new Map<string, Share>();
  for (const { id } of [...workers].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    shares.set(id, { id, held: [], quota: 0 });
  }
  invariant(shares.size === workers.length, 'two workers of one id');

  const unplaced: number[] = [];
  current.forEach((id, partition) => {
    (shares.get(id ?? '')?.held ?? unplaced).push(partition);
  });
  if (balance) setEvenQuotas([...shares.values()], current.length);
  else setFillingQuotas([...shares.values()], unplaced.length);

  for (const share of shares.values()) unplaced.push(...share.held.splice(share.quota));
  unplaced.sort((a, b) => a - b);

  const target = [...current];
  const moves: Move[] = [];
  const receivers = [...shares.values()].flatMap(({ id, held, quota }) =>
    Array<string>(quota - held.length).fill(id),
  );
  invariant(receivers.length === unplaced.length, 'the quotas do not add up to the partitions');
  unplaced.forEach((partition, i) => {
    const from = current[partition] ?? null;
    const to = receivers[i] ?? null;
    invariant(to !== null && to !== from, 'a partition was moved to where it is');
    target[partition] = to;
    moves.push({ partition, from, to, reason: reasonOf(from, shares) });
  });
  return { target, moves };
}

function reasonOf(from: string | null, shares: ReadonlyMap<string, Share>): MoveReason {
  if (from === null) return 'UNASSIGNED';
  return shares.has(from) ? 'BALANCE' : 'ORPHANED';
}

/** floor(P/W) for each, and one more for as many as the remainder says, those who hold most first. */
function setEvenQuotas(shares: Share[], partitions: number): void {
  const remainder = partitions % shares.length;
  const floor = (partitions - remainder) / shares.length;
  shares.sort((a, b) => b.held.length - a.held.length);
  shares.forEach((share, i) => {
    share.quota = i < remainder ? floor + 1 : floor;
  });
}

/** Everyone keeps what it holds; the `unplaced` fill up the least loaded, as water fills a vessel. */
function setFillingQuotas(shares: Share[], unplaced: number): void {
  shares.sort((a, b) => a.held.length - b.held.length);
  for (const share of shares) share.quota = share.held.length;

  let filled = 0;
  let total = unplaced;
  for (const { held } of shares) {
    // Whether, after the ones below have risen to this one's load, anything is left to share with it.
    if (held.length * filled >= total) break;
    filled += 1;
    total += held.length;
  }
  const remainder = total % Math.max(1, filled);
  shares.slice(0, filled).forEach((share, i) => {
    share.quota = Math.floor(total / filled) + (i < remainder ? 1 : 0);
  });
}
