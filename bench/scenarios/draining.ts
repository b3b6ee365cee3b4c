/** From a full queue to an empty one: one measurement of one contestant. */
import type { Contestant, Moment } from '../contestants/contestant.ts';
import { pause } from '../processes.ts';
import { wallMs } from '../wall-clock.ts';

const POLL_MS = 25;
const DEADLINE_MS = 300_000;

/** How `drain` measures, for the reader of the results. */
export const DRAIN_METHOD =
  `The clock runs from the start of the first handler to the first look, every ${POLL_MS} ms, that finds every task ` +
  'recorded as ended. Counted afterwards: each task has been started once.';

/**
 * Has the contestant, new and not working yet, work off `tasks` due tasks.
 * @returns tasks a second
 */
export async function drain(contestant: Contestant, tasks: number): Promise<number> {
  try {
    await contestant.start();
    await contestant.load({ count: tasks });
    await contestant.work();
    const endMs = await untilSettled(contestant, DEADLINE_MS);
    const starts = await contestant.starts();
    checkStarts(contestant, starts, tasks);
    const beginMs = starts.reduce((least, [, atMs]) => Math.min(least, atMs), Infinity);
    return (tasks * 1_000) / (endMs - beginMs);
  } finally {
    await contestant.stop();
  }
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
