/**
 * Which of its partitions a worker gives up, and which orphan goes where, is all the same to the planner: workers
 * differ, partitions do not. It is not all the same to the partitions. This chooses among equals; how many move, and
 * between whom, stays as planned.
 */
import type { Assignment, Move, Targets } from '../../libs/core/assignment.ts';

/** What tells one partition from another. */
export interface History {
  /** Since when each has been meant for the same worker. */
  readonly sinceMs: readonly number[];
  /** How often each has been granted. */
  readonly epoch: readonly number[];
}

/** Since when each partition has been meant for the same worker. A new leader starts from nothing. */
export class Tenure {
  #target: Targets = [];
  #sinceMs: readonly number[] = [];

  /** Takes note of the targets at `nowMs` (monotonic). Returns the times since when, by partition. */
  observe(target: Targets, nowMs: number): readonly number[] {
    this.#sinceMs = target.map((worker, partition) =>
      worker === this.#target[partition] ? (this.#sinceMs[partition] ?? nowMs) : nowMs,
    );
    this.#target = target;
    return this.#sinceMs;
  }
}

/**
 * The targets of an assignment such that a restart of all workers in turn moves each partition twice, to another
 * worker and back, and not the same ones again and again.
 *
 * For balance, a worker gives up what came to it last: so one that was away for a moment gets its own back. Where
 * loads differ by one, the last to return gets one partition less than it had; that one would go a third time when
 * the worker it stayed with restarts. So orphans that have moved most go where most go, which is where one will
 * stay; and of those that came together, the ones that have moved least are given up first.
 */
export function steady({ target, moves }: Assignment, current: Targets, history: History): Targets {
  const { sinceMs, epoch } = history;
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
    partitions.sort((a, b) => (sinceMs[b] ?? 0) - (sinceMs[a] ?? 0) || movedMore(b, a) || b - a);
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
  return chosen;
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
