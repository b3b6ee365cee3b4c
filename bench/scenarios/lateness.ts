import type { Contestant } from '../contestants/contestant.ts';
import type { Beside } from '../beside.ts';
import { besideMany, describeBeside } from '../beside.ts';
import type { BenchOptions } from '../command-line.ts';
import { contestants, takesPart } from '../contestants.ts';
import { ProjectContestant } from '../contestants/project.ts';
import { quantile } from '../statistics.ts';
import { wallMs } from '../wall-clock.ts';
import { PROJECT_STARTS, checkStarts, untilSettled } from './draining.ts';
import type { Measured, Scenario } from './scenario.ts';
import { againstOthers } from './scenario.ts';

const SETTLE_DEADLINE_MS = 120_000;

const besideIt = ({ future }: BenchOptions): Beside => ({ future, finished: 0 });

const p50 = (perSecond: number) => `p50 ms at ${perSecond}/s`;
const p99 = (perSecond: number) => `p99 ms at ${perSecond}/s`;

const MEASURED = ['project', 'graphile-worker', 'pg-boss', 'bullmq'] as const;

interface Streams {
  /** Due a second: one after the other. */
  readonly rates: readonly number[];
  /** Time to store all before the first is due. */
  readonly leadMs: number;
}

function lateness(name: string, title: string, streams: Streams): Scenario {
  const { rates, leadMs } = streams;
  const measures = rates.flatMap((perSecond) => [p50(perSecond), p99(perSecond)]);
  return {
    name,
    contestants: MEASURED,
    title,
    method: ({ options }) =>
      `${options.seconds} s of tasks at each of the rates, the slower first, due evenly one after the other, are stored ` +
      `within the ${leadMs / 1_000} s before the first of them, while the worker runs. The clock runs from the time asked ` +
      `for to the start of the handler. ${PROJECT_STARTS} Many: ${describeBeside(besideIt(options))}.`,
    measures: measures.map((measured) => ({ name: measured, digits: 1 })),
    plan(bench) {
      const subject = (of: string, contestant: Contestant) => ({
        name: of,
        setup: contestant.setup,
        measure: () => measure(contestant, bench.options.seconds, streams),
      });
      const subjects = contestants(bench, MEASURED).map((each) => subject(each.name, each));
      if (takesPart(bench, 'project')) {
        const createDatabase = besideMany(bench, 'project', besideIt(bench.options)).beside;
        const project = new ProjectContestant(bench, { name: 'project', createDatabase });
        subjects.push(subject('project, beside many', project));
      }
      return { subjects, comparisons: measures.flatMap((measured) => againstOthers(subjects, measured)) };
    },
  };
}

const TITLE = 'From the time a task is due to the start of its handler';
export const latenessScenario = lateness('lateness', TITLE, { rates: [100, 1_000], leadMs: 2_000 });
export const latenessOfManyScenario: Scenario = {
  ...lateness('lateness-5000', `${TITLE}, when many are due`, { rates: [5_000], leadMs: 4_000 }),
  onRequest: true,
};

async function measure(
  contestant: Contestant,
  seconds: number,
  { rates, leadMs }: Streams,
): Promise<Measured> {
  try {
    await contestant.start();
    await contestant.work('STREAM');
    await contestant.ready();
    // Whole milliseconds, as the tasks' times are.
    const beginMs = Math.ceil(wallMs()) + leadMs;
    const dueAtMs: number[] = [];
    for (const [index, perSecond] of rates.entries()) {
      const stream = {
        first: dueAtMs.length,
        count: seconds * perSecond,
        due: { fromMs: beginMs + index * seconds * 1_000, perSecond },
      };
      await contestant.load(stream);
      for (let i = 0; i < stream.count; i++) dueAtMs.push(stream.due.fromMs + (i * 1_000) / perSecond);
    }
    if (wallMs() > beginMs) throw new Error(`${contestant.name} had tasks due before all were stored`);
    await untilSettled(contestant, SETTLE_DEADLINE_MS);
    return await latenessOf(contestant, dueAtMs, seconds, rates);
  } finally {
    await contestant.stop();
  }
}

async function latenessOf(
  contestant: Contestant,
  dueAtMs: readonly number[],
  seconds: number,
  rates: readonly number[],
): Promise<Measured> {
  const starts = await contestant.starts();
  checkStarts(contestant, starts, dueAtMs.length);
  const measured: Record<string, number> = {};
  let first = 0;
  for (const perSecond of rates) {
    const end = first + seconds * perSecond;
    const stream = starts.filter(([sample]) => sample >= first && sample < end);
    const lateMs = stream.map(([sample, atMs]) => atMs - (dueAtMs[sample] ?? NaN));
    measured[p50(perSecond)] = quantile(lateMs, 0.5);
    measured[p99(perSecond)] = quantile(lateMs, 0.99);
    first = end;
  }
  return measured;
}
