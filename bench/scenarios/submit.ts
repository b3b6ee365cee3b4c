import type { Contestant } from '../contestants/contestant.ts';
import { BareHttpContestant } from '../contestants/bare-http.ts';
import { contestants } from '../contestants.ts';
import type { Comparison, Scenario, Subject } from './scenario.ts';

const RATE = 'tasks/s';
const WARMUP_MS = 1_000;
/** What the peers are given in process: more in flight makes none of them faster. */
const IN_PROCESS = 32;
const CONNECTIONS = [32, 256];

const overHttp = (name: string, connections: number) => `${name}, ${connections} connections`;
const inProcess = (name: string) => `${name}, ${IN_PROCESS} in flight in process`;

export const submitScenario: Scenario = {
  name: 'submit',
  title: 'Submitting one by one, acknowledged when durable',
  method: ({ options }) =>
    `No worker runs. ${options.seconds} s of submissions are counted after ${WARMUP_MS / 1_000} s of warming up: to this ` +
    'project and to a bare fastify over HTTP, by one load generator in a process of its own; to the others by a call ' +
    'of their client.',
  measures: [{ name: RATE, digits: 0 }],
  plan(bench) {
    const measuredMs = bench.options.seconds * 1_000;
    const subject = (
      name: string,
      who: Pick<Contestant, 'setup' | 'start' | 'flood' | 'stop'>,
      inFlight: number,
    ): Subject => ({
      name,
      setup: who.setup,
      async measure() {
        try {
          await who.start();
          const { count, elapsedMs } = await who.flood({ inFlight, warmupMs: WARMUP_MS, measuredMs });
          return { [RATE]: (count * 1_000) / elapsedMs };
        } finally {
          await who.stop();
        }
      },
    });
    const http = [...contestants(bench, ['project']), new BareHttpContestant(bench)];
    const peers = contestants(bench, ['graphile-worker', 'pg-boss', 'bullmq']);
    const subjects = [
      ...CONNECTIONS.flatMap((n) => http.map((who) => subject(overHttp(who.name, n), who, n))),
      ...peers.map((who) => subject(inProcess(who.name), who, IN_PROCESS)),
    ];
    const comparisons: Comparison[] = [
      ...peers.map(({ name }) => ({
        of: overHttp('project', IN_PROCESS),
        against: inProcess(name),
        measure: RATE,
      })),
      ...CONNECTIONS.map((n) => ({
        of: overHttp('project', n),
        against: overHttp('fastify', n),
        measure: RATE,
      })),
    ];
    return { subjects, comparisons };
  },
};
