import type { Step } from './actions.ts';

/** Runs of a schedule that shrinking may take. */
const MAX_RUNS = 300;

/**
 * A shortest schedule that can be found which still fails: leaves out ever smaller pieces, and keeps each that was not
 * needed (ddmin; Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002).
 *
 * @param fails whether the same promise is broken by another schedule
 */
export async function shrink(
  schedule: readonly Step[],
  fails: (schedule: readonly Step[]) => Promise<boolean>,
): Promise<readonly Step[]> {
  let shortest = schedule;
  let runs = 0;
  const tryOne = async (candidate: readonly Step[]) => {
    runs += 1;
    if (!(await fails(candidate))) return false;
    shortest = candidate;
    return true;
  };
  for (
    let size = Math.ceil(shortest.length / 2);
    size >= 1 && runs < MAX_RUNS;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  ) {
    for (let start = 0; start < shortest.length && runs < MAX_RUNS;) {
      const without = [...shortest.slice(0, start), ...shortest.slice(start + size)];
      if (!(await tryOne(without))) start += size;
    }
  }
  // What is left of a step may still be only its pause.
  for (let i = 0; i < shortest.length && runs < MAX_RUNS; i += 1) {
    if (shortest[i]?.action === undefined) continue;
    await tryOne(shortest.map((step, at) => (at === i ? { ...step, action: undefined } : step)));
  }
  return shortest;
}
