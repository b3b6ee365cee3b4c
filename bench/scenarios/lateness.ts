import type { Contestant } from '../contestants/contestant.ts';
import { contestants } from '../contestants.ts';
import { quantile } from '../statistics.ts';
import { wallMs } from '../wall-clock.ts';
import { checkStarts, untilSettled } from './draining.ts';
import type { Measured, Scenario, Subject } from './scenario.ts';

const P50 = 'p50 ms';
const P99 = 'p99 ms';
const RATES = [100, 1_000];
/** Time to store the tasks before the first is due. */
const LEAD_MS = 5_000;
const SETTLE_DEADLINE_MS = 120_000;

const subjectName = (contestant: string, perSecond: number) =>
  `${contestant}, ${perSecond.toLocaleString('en')} a second`;

export const latenessScenario: Scenario = {
  name: 'lateness',
  title: 'From the time a task is due to the start of its handler',
  method: ({ options }) =>
    `${options.seconds} s of tasks, due evenly one after the other, are stored ${LEAD_MS / 1_000} s ahead while the ` +
    'worker runs. The clock runs from the time asked for to the start of the handler, as for latency.',
  measures: [
    { name: P50, digits: 1 },
    { name: P99, digits: 1 },
  ],
  plan(bench) {
    const all = contestants(bench, ['project', 'graphile-worker', 'pg-boss', 'bullmq']);
    const subjects = RATES.flatMap((perSecond) =>
      all.map((contestant): Subject => {
        const { name, setup } = contestant;
        const measure = () => measureOnce(contestant, perSecond, bench.options.seconds * perSecond);
        return { name: subjectName(name, perSecond), setup, measure };
      }),
    );
    const comparisons = RATES.flatMap((perSecond) =>
      all.slice(1).flatMap(({ name }) =>
        [P50, P99].map((measure) => ({
          of: subjectName('project', perSecond),
          against: subjectName(name, perSecond),
          measure,
        })),
      ),
    );
    return { subjects, comparisons };
  },
};

async function measureOnce(contestant: Contestant, perSecond: number, count: number): Promise<Measured> {
  try {
    await contestant.start();
    await contestant.work();
    await contestant.ready();
    // Whole milliseconds, as the tasks' times are.
    const fromMs = Math.ceil(wallMs() + LEAD_MS);
    await contestant.load({ count, due: { fromMs, perSecond } });
    await untilSettled(contestant, SETTLE_DEADLINE_MS);
    const starts = await contestant.starts();
    checkStarts(contestant, starts, count);
    const latenessMs = starts.map(([sample, atMs]) => atMs - (fromMs + (sample * 1_000) / perSecond));
    return { [P50]: quantile(latenessMs, 0.5), [P99]: quantile(latenessMs, 0.99) };
  } finally {
    await contestant.stop();
  }
}
