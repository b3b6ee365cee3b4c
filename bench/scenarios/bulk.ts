import type { Contestant } from '../contestants/contestant.ts';
import { contestants } from '../contestants.ts';
import type { Measured, Scenario } from './scenario.ts';
import { againstOthers } from './scenario.ts';

const EACH = 1_000;
const IN_FLIGHT = 8;
const WARMUP_MS = 1_000;
const RATE = 'tasks/s';

export const bulkScenario: Scenario = {
  name: 'bulk',
  onRequest: true,
  contestants: ['project', 'raw-sql', 'graphile-worker', 'pg-boss', 'bullmq'],
  title: `Submitting ${EACH.toLocaleString('en')} at a time, acknowledged when durable`,
  method: ({ options }) =>
    `No worker runs. ${options.seconds} s of submissions are counted after ${WARMUP_MS / 1_000} s of warming up, ` +
    `${IN_FLIGHT} at a time: to this project by POST /tasks/batch, from a load generator in a process of its own; to ` +
    'the others by calls of their client in its process. Of raw SQL it is one INSERT of all rows into the same table.',
  measures: [{ name: RATE, digits: 0 }],
  plan(bench) {
    const subjects = contestants(bench).map((who) => ({
      name: who.name,
      setup: who.setup,
      measure: () => measure(who, bench.options.seconds),
    }));
    return { subjects, comparisons: againstOthers(subjects, RATE) };
  },
};

async function measure(who: Contestant, seconds: number): Promise<Measured> {
  try {
    await who.start();
    const { count, elapsedMs } = await who.floodBulk({
      ...{ each: EACH, inFlight: IN_FLIGHT, warmupMs: WARMUP_MS, measuredMs: seconds * 1_000 },
    });
    return { [RATE]: (count * 1_000) / elapsedMs };
  } finally {
    await who.stop();
  }
}
