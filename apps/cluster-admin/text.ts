/** What people read: the same as the JSON, in lines and columns. */
import type { Mode, WorkerWish } from '../../libs/cluster/records.ts';
import type { ClusterStatus, WorkerStatus } from './status.ts';

/** No more than one wants to read in a terminal; --json has all. */
const MOVES_SHOWN = 20;

export function describeStatus(status: ClusterStatus): string {
  const { leader, workers, unowned, moves, partitions } = status;
  const living = workers.filter(({ live }) => live).length;
  return [
    `cluster      ${status.cluster}: ${count(partitions, 'partition')}, ${count(living, 'live worker')}`,
    `leader       ${leader === null ? 'none: nothing is assigned' : `${leader.id} on ${leader.host} since ${leader.since}`}`,
    `mode         ${describeMode(status)}`,
    ...(status.requiredTag === null ? [] : [`required tag ${status.requiredTag}`]),
    `no owner     ${unowned.length === 0 ? 'no partition' : `${count(unowned.length, 'partition')}: ${ranges(unowned)}`}`,
    `under way    ${moves.length === 0 ? 'nothing' : count(moves.length, 'move')}`,
    ...moves
      .slice(0, MOVES_SHOWN)
      .map(
        ({ partition, from, to, waitsFor }) =>
          `  partition ${partition}: ${from ?? 'nobody'} → ${to ?? 'nobody'}, waits for ${WAITS[waitsFor]}`,
      ),
    ...(moves.length > MOVES_SHOWN ? [`  … and ${moves.length - MOVES_SHOWN} more`] : []),
    '',
    table(workers),
  ].join('\n');
}

const WAITS = {
  RELEASE: 'its release',
  GRANT: 'the controller’s grant',
  ACQUIRE: 'the worker to acquire it',
};

/** `PAUSED until 2026-01-01T00:00:00.000Z (upgrade)` */
export function describeMode({
  mode,
  until,
  reason,
}: {
  readonly mode: Mode['mode'];
  readonly until: string | null;
  readonly reason: string | null;
}): string {
  return `${mode}${until === null ? '' : ` until ${until}`}${reason === null ? '' : ` (${reason})`}`;
}

/** `w1: DRAIN, weight 2` */
export function describeWish(worker: string, wish: WorkerWish): string {
  const { zone, weight, tags, maxPartitions } = wish;
  const parts = [
    wish.wish ?? 'ENABLED',
    ...(weight === undefined ? [] : [`weight ${weight}`]),
    ...(zone === undefined ? [] : [`zone ${zone}`]),
    ...(tags === undefined ? [] : [`tags ${tags.join(',')}`]),
    ...(maxPartitions === undefined ? [] : [`at most ${count(maxPartitions, 'partition')}`]),
  ];
  return `${worker}: ${parts.join(', ')}`;
}

/** `2 moves` */
export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

/** `0-3, 7` */
export function ranges(ascending: readonly number[]): string {
  const runs: { first: number; last: number }[] = [];
  for (const number of ascending) {
    const run = runs.at(-1);
    if (run?.last === number - 1) run.last = number;
    else runs.push({ first: number, last: number });
  }
  return runs.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(', ');
}

function table(workers: readonly WorkerStatus[]): string {
  const head = ['worker', 'live', 'wish', 'zone', 'weight', 'tags', 'limit', 'target', 'owned', 'releasing'];
  const rows = workers.map((worker) => [
    worker.id,
    worker.live ? 'yes' : 'no',
    worker.quarantinedUntil === null ? worker.wish : `${worker.wish} (quarantine)`,
    worker.zone ?? '-',
    String(worker.weight),
    worker.tags.length === 0 ? '-' : worker.tags.join(','),
    worker.maxPartitions === null ? '-' : String(worker.maxPartitions),
    String(worker.target),
    String(worker.owned),
    String(worker.releasing),
  ]);
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  return [head, ...rows]
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
