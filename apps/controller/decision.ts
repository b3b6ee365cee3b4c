/** Where the partitions should go, by a snapshot: what the controller acts on, and what a dry run shows. */
import type { Mode } from '../../libs/cluster/records.ts';
import { assign } from '../../libs/core/assignment.ts';
import type { Assignment, WorkerSpec } from '../../libs/core/assignment.ts';
import type { Snapshot } from './snapshot.ts';

/** What the planner is told of a cluster. */
export type Planned = Pick<Snapshot, 'live' | 'selves' | 'wishes' | 'plan'>;

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
 * @param quarantined worker ids, each with the time its quarantine ends
 */
export function decide(
  cluster: Planned,
  { mode, requiredTag }: Mode,
  quarantined: ReadonlyMap<string, number>,
): Decision {
  const current = cluster.plan.target;
  const unmoved = { target: current, moves: [] };
  if (mode === 'PAUSED') return { urgent: unmoved, wanted: unmoved };
  const plan = (balance: boolean) => {
    const options = { balance, ...(requiredTag !== undefined && { requiredTag }) };
    const cautious = assign(current, workerSpecs(cluster, quarantined), options);
    // No partition goes without a worker for the sake of a quarantine.
    if (quarantined.size === 0 || !cautious.target.includes(null)) return cautious;
    return assign(current, workerSpecs(cluster, new Map()), options);
  };
  const urgent = plan(false);
  return { urgent, wanted: mode === 'AUTO' ? plan(true) : urgent };
}

/**
 * The living workers: a wish stands over what a worker says of itself. One in quarantine keeps what is meant for
 * it and gets nothing new; of too many, those whose quarantine ends first are spared.
 */
export function workerSpecs(
  { live, selves, wishes, plan }: Planned,
  quarantined: ReadonlyMap<string, number>,
): WorkerSpec[] {
  const longestFirst = [...quarantined].filter(([id]) => live.has(id)).sort(([, a], [, b]) => b - a);
  const held = new Map(
    longestFirst
      .slice(0, Math.floor(live.size * MOST_QUARANTINED))
      .map(([id]) => [id, plan.target.filter((worker) => worker === id).length]),
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
