/** Where the partitions should go, by a snapshot and nothing else: what the controller does, and a dry run shows. */
import type { Mode } from '../../libs/cluster/records.ts';
import { assign } from '../../libs/core/assignment.ts';
import type { Assignment, Move, WorkerSpec } from '../../libs/core/assignment.ts';
import { aged } from './ages.ts';
import type { Snapshot } from './snapshot.ts';
import { steady } from './steady.ts';

/** What the planner is told of a cluster. */
export type Planned = Pick<Snapshot, 'live' | 'selves' | 'wishes' | 'plan' | 'ages'>;

export interface Decision {
  /** What cannot wait: partitions without a living worker, and those that filters force off theirs. */
  readonly urgent: Assignment;
  /** All that is wanted, balance included where the mode has it. */
  readonly wanted: Assignment;
}

/** Of the living workers at most this part is in quarantine. */
const MOST_QUARANTINED = 1 / 3;

/** The mode in force: one that has ended is AUTO. */
export function modeAt(mode: Mode, wallMs: number): Mode {
  if (mode.untilMs === undefined || mode.untilMs > wallMs) return mode;
  return { mode: 'AUTO', ...(mode.requiredTag !== undefined && { requiredTag: mode.requiredTag }) };
}

/**
 * | mode | |
 * | --- | --- |
 * | AUTO | everything |
 * | MAINTENANCE | nothing is balanced. Orphans are placed; and what an administrator forbids, by a wish, a tag or a limit, takes effect, since whoever asks for it now means now |
 * | PAUSED | nothing moves, not even an orphan |
 *
 * The targets are final: `wanted` is what is reached by way of `urgent` as well.
 *
 * @param quarantined worker ids, each with the time its quarantine ends
 */
export function decide(
  cluster: Planned,
  { mode, requiredTag }: Mode,
  quarantined: ReadonlyMap<string, number>,
): Decision {
  if (mode === 'PAUSED') {
    const unmoved = { target: cluster.plan.target, moves: [] };
    return { urgent: unmoved, wanted: unmoved };
  }
  const next = (from: Planned, balance: boolean, room = 0) => {
    const { target, epoch } = from.plan;
    const options = { balance, ...(requiredTag !== undefined && { requiredTag }) };
    const planned = assign(target, workerSpecs(from, quarantined, room), options);
    return steady(planned, target, { ages: from.ages, epoch });
  };
  const cautious = next(cluster, false);
  const ownerless = cautious.target.filter((worker) => worker === null).length;
  // No partition goes without a worker for the sake of a quarantine; those are all that such a worker gets.
  const urgent = quarantined.size > 0 && ownerless > 0 ? next(cluster, false, ownerless) : cautious;
  if (mode !== 'AUTO') return { urgent, wanted: urgent };
  const { target, moves } = next(moved(cluster, urgent), true);
  const byPartition = (a: Move, b: Move) => a.partition - b.partition;
  return { urgent, wanted: { target, moves: [...urgent.moves, ...moves].sort(byPartition) } };
}

/** The cluster once `assignment` is published. */
function moved(cluster: Planned, { target }: Assignment): Planned {
  const { plan, ages } = cluster;
  return { ...cluster, plan: { ...plan, target }, ages: aged(ages, plan.target, target) };
}

/**
 * The living workers: a wish stands over what a worker says of itself. One in quarantine keeps what is meant for
 * it and gets `room` more at most; of too many, those whose quarantine ends first are spared.
 */
export function workerSpecs(
  { live, selves, wishes, plan }: Planned,
  quarantined: ReadonlyMap<string, number>,
  room = 0,
): WorkerSpec[] {
  const longestFirst = [...quarantined].filter(([id]) => live.has(id)).sort(([, a], [, b]) => b - a);
  const held = new Map(
    longestFirst
      .slice(0, Math.floor(live.size * MOST_QUARANTINED))
      .map(([id]) => [id, room + plan.target.filter((worker) => worker === id).length]),
  );
  return [...live.keys()].map((id): WorkerSpec => {
    const self = selves.get(id);
    const wished = wishes.get(id);
    return {
      id,
      wish: wished?.wish,
      zone: wished?.zone ?? self?.zone,
      weight: wished?.weight ?? self?.weight,
      tags: wished?.tags ?? self?.tags,
      maxPartitions: least(wished?.maxPartitions, held.get(id)),
    };
  });
}

function least(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}
