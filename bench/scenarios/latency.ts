import type { Contestant } from '../contestants/contestant.ts';
import { contestants } from '../contestants.ts';
import { quantile } from '../statistics.ts';
import { checkStarts, untilSettled } from './draining.ts';
import type { Measured, Scenario } from './scenario.ts';
import { againstOthers } from './scenario.ts';

const P50 = 'p50 ms';
const P99 = 'p99 ms';
const GAP = { minGapMs: 20, maxGapMs: 40 };
/** Sent first and not counted: connections are made, and code is compiled. */
const WARMUP = 50;
const SETTLE_DEADLINE_MS = 60_000;

export const latencyScenario: Scenario = {
  name: 'latency',
  title: 'From submission to the start of the handler, idle',
  method: ({ options }) =>
    `${options.samples} tasks due at once, one at a time, ${GAP.minGapMs}–${GAP.maxGapMs} ms apart at random, after ` +
    `${WARMUP} that are not counted. The clock runs from before the POST (for the others, the call of their client) ` +
    'to the start of the handler: for this project the time in the worker’s log line.',
  measures: [
    { name: P50, digits: 1 },
    { name: P99, digits: 1 },
  ],
  plan(bench) {
    const subjects = contestants(bench, ['project', 'graphile-worker', 'pg-boss', 'bullmq']).map(
      (contestant) => ({
        name: contestant.name,
        setup: contestant.setup,
        measure: () => measure(contestant, bench.options.samples),
      }),
    );
    return { subjects, comparisons: [P50, P99].flatMap((measure) => againstOthers(subjects, measure)) };
  },
};

async function measure(contestant: Contestant, samples: number): Promise<Measured> {
  try {
    await contestant.start();
    await contestant.work();
    await contestant.ready();
    const sent = await contestant.trickle({ samples: WARMUP + samples, ...GAP });
    await untilSettled(contestant, SETTLE_DEADLINE_MS);
    const starts = await contestant.starts();
    checkStarts(contestant, starts, WARMUP + samples);
    const startedAtMs = new Map(starts);
    const latenciesMs = sent
      .slice(WARMUP)
      .map(([sample, sentAtMs]) => (startedAtMs.get(sample) ?? NaN) - sentAtMs);
    return { [P50]: quantile(latenciesMs, 0.5), [P99]: quantile(latenciesMs, 0.99) };
  } finally {
    await contestant.stop();
  }
}
