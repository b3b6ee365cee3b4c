import type { Contestant } from '../contestants/contestant.ts';
import { BareHttpContestant } from '../contestants/bare-http.ts';
import { CONTESTANTS, contestants, takesPart } from '../contestants.ts';
import type { Measured, Scenario, Subject } from './scenario.ts';
import { againstOthers } from './scenario.ts';

const WARMUP_MS = 1_000;
const OVER_HTTP = [32, 256];
/** As many as the clients' pools have connections. */
const IN_PROCESS = [32];

const rate = (atATime: number) => `tasks/s, ${atATime} at a time`;
const MEASURES = OVER_HTTP.map(rate);

type Submitter = Pick<Contestant, 'name' | 'setup' | 'start' | 'flood' | 'stop'>;

export const submitScenario: Scenario = {
  name: 'submit',
  contestants: CONTESTANTS,
  title: 'Submitting one by one, acknowledged when durable',
  method: ({ options }) =>
    `No worker runs. ${options.seconds} s of submissions are counted after ${WARMUP_MS / 1_000} s of warming up: to this ` +
    'project and to a bare fastify over HTTP, a connection for each at a time, by one load generator in a process of ' +
    'its own; to the others by calls of their client in its process.',
  measures: MEASURES.map((name) => ({ name, digits: 0 })),
  plan(bench) {
    const subject = (who: Submitter, atATime: readonly number[]): Subject => ({
      name: who.name,
      setup: who.setup,
      measure: () => measure(who, atATime, bench.options.seconds),
    });
    const overHttp: Submitter[] = contestants(bench, ['project']);
    if (takesPart(bench, 'fastify')) overHttp.push(new BareHttpContestant(bench));
    const inProcess = contestants(bench, ['raw-sql', 'graphile-worker', 'pg-boss', 'bullmq']);
    const subjects = [
      ...overHttp.map((who) => subject(who, OVER_HTTP)),
      ...inProcess.map((who) => subject(who, IN_PROCESS)),
    ];
    return { subjects, comparisons: MEASURES.flatMap((name) => againstOthers(subjects, name)) };
  },
};

async function measure(who: Submitter, atATime: readonly number[], seconds: number): Promise<Measured> {
  const measured: Record<string, number> = {};
  try {
    await who.start();
    for (const inFlight of atATime) {
      const flood = { inFlight, warmupMs: WARMUP_MS, measuredMs: seconds * 1_000 };
      const { count, elapsedMs } = await who.flood(flood);
      measured[rate(inFlight)] = (count * 1_000) / elapsedMs;
    }
  } finally {
    await who.stop();
  }
  return measured;
}
