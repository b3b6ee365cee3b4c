import type { Targets } from '../../libs/core/assignment.ts';
import type { Logger } from '../../libs/runtime/logger.ts';

/** A line names no more workers than one can read. */
const WORKERS_NAMED = 20;

/** Tells the log how partitions are shared, when that has changed and not otherwise. */
export class AssignmentReport {
  readonly #logger: Logger;
  #last: Targets | undefined;
  #workers: number | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** The targets as they stand in ZooKeeper. The first ones are what the leader found, and pass in silence. */
  observe(target: Targets): void {
    const last = this.#last;
    this.#last = target;
    if (last === undefined) return;
    const moves = target.filter((worker, partition) => worker !== last[partition]).length;
    if (moves > 0) this.#logger.info(`assigned: ${describe(target)}; ${moves} moved`);
  }

  /** How many workers live; none is said once, and no warning: it is so when a cluster starts and when it stops. */
  observeWorkers(count: number): void {
    const before = this.#workers;
    this.#workers = count;
    if (count > 0 || before === 0) return;
    const since = before === undefined ? 'yet' : 'any more';
    this.#logger.info(`no live workers ${since}: every partition waits`);
  }
}

/** `64 partitions over 3 workers: w1 21, w2 21, w3 22` */
export function describe(target: Targets): string {
  const loads = new Map<string, number>();
  for (const worker of target) if (worker !== null) loads.set(worker, (loads.get(worker) ?? 0) + 1);
  const named = [...loads].sort(([a], [b]) => (a < b ? -1 : 1)).map(([worker, load]) => `${worker} ${load}`);
  const shown = named.slice(0, WORKERS_NAMED).join(', ');
  const more = named.length > WORKERS_NAMED ? `, and ${named.length - WORKERS_NAMED} more` : '';
  const workers = named.length === 1 ? '1 worker' : `${named.length} workers`;
  return `${target.length} partitions over ${workers}: ${shown}${more}`;
}
