import type { Contestant } from '../contestants/contestant.ts';
import { SCHEDULERS, contestants } from '../contestants.ts';
import { pause } from '../processes.ts';
import { quantile } from '../statistics.ts';
import { wallMs } from '../wall-clock.ts';
import { PROJECT_STARTS, checkStarts, untilSettled } from './draining.ts';
import type { Measured, Scenario } from './scenario.ts';
import { againstOthers } from './scenario.ts';

const P50 = 'p50 ms';
const P99 = 'p99 ms';
const GAP = { minGapMs: 20, maxGapMs: 40 };
/** Sent first and not counted: connections are made, and code is compiled. */
const WARMUP = 50;
const SETTLE_DEADLINE_MS = 60_000;
/** Time to store the other tasks before the first of them is due. */
const LEAD_MS = 10_000;
/** About half of what the slowest of the contestants drains in a second. */
const LOAD_PER_SECOND = 12_000;

/** @param otherPerSecond tasks that are due meanwhile */
function latency(name: string, title: string, otherPerSecond: number): Scenario {
  return {
    name,
    contestants: SCHEDULERS,
    title,
    method: ({ options }) =>
      `${options.samples} tasks due at once, one at a time, ${GAP.minGapMs}–${GAP.maxGapMs} ms apart at random, after ` +
      `${WARMUP} that are not counted. The clock runs from before the POST (for the others, the call of their client) ` +
      `to the start of the handler. ${PROJECT_STARTS}` +
      (otherPerSecond > 0
        ? ` Meanwhile ${otherPerSecond.toLocaleString('en')} other tasks a second, stored before, come due.`
        : ''),
    measures: [
      { name: P50, digits: 1 },
      { name: P99, digits: 1 },
    ],
    plan(bench) {
      const subjects = contestants(bench).map((contestant) => ({
        name: contestant.name,
        setup: contestant.setup,
        measure: () => measure(contestant, bench.options.samples, otherPerSecond),
      }));
      return { subjects, comparisons: [P50, P99].flatMap((what) => againstOthers(subjects, what)) };
    },
  };
}

export const latencyScenario = latency('latency', 'From submission to the start of the handler, idle', 0);
export const latencyLoadedScenario: Scenario = {
  ...latency('latency-loaded', 'From submission to the start of the handler, under load', LOAD_PER_SECOND),
  onRequest: true,
};

async function measure(contestant: Contestant, samples: number, otherPerSecond: number): Promise<Measured> {
  const sending = WARMUP + samples;
  const others = Math.ceil((sending * GAP.maxGapMs * otherPerSecond) / 1_000);
  try {
    await contestant.start();
    await contestant.work('STREAM');
    await contestant.ready();
    if (others > 0) {
      const fromMs = Math.ceil(wallMs()) + LEAD_MS;
      await contestant.load({ count: others, first: sending, due: { fromMs, perSecond: otherPerSecond } });
      const leftMs = fromMs - wallMs();
      if (leftMs < 0) throw new Error(`${contestant.name} had tasks due before all were stored`);
      await pause(leftMs);
    }
    const sent = await contestant.trickle({ samples: sending, ...GAP });
    await untilSettled(contestant, SETTLE_DEADLINE_MS);
    const starts = await contestant.starts();
    checkStarts(contestant, starts, sending + others);
    const startedAtMs = new Map(starts);
    const latenciesMs = sent
      .slice(WARMUP)
      .map(([sample, sentAtMs]) => (startedAtMs.get(sample) ?? NaN) - sentAtMs);
    return { [P50]: quantile(latenciesMs, 0.5), [P99]: quantile(latenciesMs, 0.99) };
  } finally {
    await contestant.stop();
  }
}
