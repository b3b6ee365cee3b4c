/**
 * Which of its partitions a worker gives up, and which orphan goes where, is all the same to the planner: workers
 * differ, partitions do not. It is not all the same to the partitions. This chooses among equals; how many move, and
 * between whom, stays as planned.
 */
import type { Assignment, Move, Targets } from '../../libs/core/assignment.ts';
import type { Ages } from './ages.ts';

/** What tells one partition from another. */
export interface History {
  readonly ages: Ages;
  /** How often each has been granted. */
  readonly epoch: readonly number[];
}

/**
 * An assignment with as many moves between the same workers, such that a restart of all workers in turn moves each
 * partition twice, to another worker and back, and not the same ones again and again.
 *
 * For balance, a worker gives up what came to it last: so one that was away for a moment gets its own back. Where
 * loads differ by one, the last to return gets one partition less than it had; that one would go a third time when
 * the worker it stayed with restarts. So orphans that have moved most go where most go, which is where one will
 * stay; and of those that came together, the ones that have moved least are given up first.
 */
export function steady({ target, moves }: Assignment, current: Targets, history: History): Assignment {
  if (moves.length === 0) return { target, moves };
  const { ages, epoch } = history;
  const movedMore = (a: number, b: number) => (epoch[b] ?? 0) - (epoch[a] ?? 0);
  const chosen = [...target];

  const shed = groupBy(
    moves.filter(({ reason }) => reason === 'BALANCE'),
    ({ from }) => from,
  );
  // What leaves its worker for another reason does so whatever is given up for balance.
  const forced = new Set(
    moves.filter(({ reason }) => reason !== 'BALANCE').map(({ partition }) => partition),
  );
  const held = new Map<string | null, number[]>([...shed.keys()].map((donor) => [donor, []]));
  current.forEach((worker, partition) => {
    if (!forced.has(partition)) held.get(worker)?.push(partition);
  });
  for (const [donor, partitions] of held) {
    const receivers = shed.get(donor) ?? [];
    partitions.sort((a, b) => (ages[a] ?? 0) - (ages[b] ?? 0) || movedMore(b, a) || b - a);
    partitions.forEach((partition, i) => {
      chosen[partition] = receivers[i]?.to ?? donor;
    });
  }

  const orphans = moves.filter(({ reason, to }) => reason === 'ORPHANED' && to !== null);
  const places = mostFirst(orphans);
  orphans
    .map(({ partition }) => partition)
    .sort((a, b) => movedMore(a, b) || a - b)
    .forEach((partition, i) => {
      chosen[partition] = places[i] ?? null;
    });
  return { target: chosen, moves: movesTo(chosen, current, moves) };
}

/** The moves to `chosen`: for the reason they were planned for, or for balance. */
function movesTo(chosen: Targets, current: Targets, planned: readonly Move[]): Move[] {
  const reasons = new Map(planned.map(({ partition, reason }) => [partition, reason]));
  return chosen.flatMap((to, partition): Move[] => {
    const from = current[partition] ?? null;
    if (to === from) return [];
    const reason = reasons.get(partition);
    return [{ partition, from, to, reason: reason ?? 'BALANCE' }];
  });
}

/** Where the moves go, the workers that most go to first. */
function mostFirst(moves: readonly Move[]): (string | null)[] {
  const byReceiver = [...groupBy(moves, ({ to }) => to).values()];
  return byReceiver.sort((a, b) => b.length - a.length).flatMap((group) => group.map(({ to }) => to));
}

function groupBy<K, T>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}
