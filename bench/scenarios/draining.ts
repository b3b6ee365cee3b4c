/** From a full queue to an empty one: one measurement of one contestant. */
import type { Bench } from '../bench.ts';
import type { Contestant, Load, Moment } from '../contestants/contestant.ts';
import { longestStatements, resetStatements } from '../servers/statements.ts';
import { pause } from '../processes.ts';
import { wallMs } from '../wall-clock.ts';
import type { Measure, Measured } from './scenario.ts';

const POLL_MS = 25;
const DEADLINE_MS = 300_000;

/** Tasks a second of a drain. */
export const RATE = 'tasks/s';
const WAL = 'WAL bytes/task';
const DEAD_ROWS = 'dead rows/task';

/** The measures of {@link drain}. */
export const DRAIN_MEASURES: readonly Measure[] = [
  { name: RATE, digits: 0 },
  { name: WAL, digits: 0 },
  { name: DEAD_ROWS, digits: 2 },
];

/** How `drain` measures, for the reader of the results. */
export const DRAIN_METHOD =
  `The clock runs from the start of the first handler to the first look, every ${POLL_MS} ms, that finds every task ` +
  'recorded as ended. Counted afterwards: each task has been started once. WAL and dead rows (updates and deletes) ' +
  'are the server’s own counts from before the workers start until after they have stopped.';

/** What a start of this project's is, for the reader of the results. */
export const PROJECT_STARTS =
  'For this project that is the time in the worker’s log line; the lines of all tasks claimed together are written ' +
  'before the first of their handlers is called.';

/** Has the contestant, new and not working yet, work off a load of due tasks. */
export async function drain(bench: Bench, contestant: Contestant, load: Load): Promise<Measured> {
  const { postgres, options, say } = bench;
  try {
    await contestant.start();
    await contestant.load(load);
    const url = contestant.postgresUrl;
    if (url === undefined) {
      await contestant.work('BACKLOG');
      return { [RATE]: await rateOfDrain(contestant, load) };
    }
    await postgres.settle(url);
    const before = await postgres.written(url);
    if (options.profile) await resetStatements(url);
    await contestant.work('BACKLOG');
    const rate = await rateOfDrain(contestant, load);
    if (options.profile) say((await longestStatements(url)).join('\n'));
    // Counts of rows come from sessions that have ended, at the latest.
    await contestant.stop();
    const after = await postgres.written(url);
    return {
      [RATE]: rate,
      [WAL]: (after.walBytes - before.walBytes) / load.count,
      [DEAD_ROWS]: (after.deadRows - before.deadRows) / load.count,
    };
  } finally {
    await contestant.stop();
  }
}

/**
 * Waits until the tasks of a load, all of those that there were to do, have ended.
 * @returns tasks a second
 */
export async function rateOfDrain(contestant: Contestant, { count, first = 0 }: Load): Promise<number> {
  const endMs = await untilSettled(contestant, DEADLINE_MS);
  const starts = (await contestant.starts()).filter(([sample]) => sample >= first);
  checkStarts(contestant, starts, count);
  const beginMs = starts.reduce((least, [, atMs]) => Math.min(least, atMs), Infinity);
  return (count * 1_000) / (endMs - beginMs);
}

/** @returns when all tasks were first seen to have ended */
export async function untilSettled(contestant: Contestant, withinMs: number): Promise<number> {
  const deadlineMs = performance.now() + withinMs;
  while (!(await contestant.settled())) {
    if (performance.now() > deadlineMs) throw new Error(`${contestant.name} has not ended all its tasks`);
    await pause(POLL_MS);
  }
  return wallMs();
}

/** @throws where a task was started twice, or not at all */
export function checkStarts(contestant: Contestant, starts: readonly Moment[], tasks: number): void {
  const different = new Set(starts.map(([sample]) => sample)).size;
  if (starts.length === tasks && different === tasks) return;
  throw new Error(`${contestant.name}: ${starts.length} starts of ${different} tasks, of ${tasks}`);
}
