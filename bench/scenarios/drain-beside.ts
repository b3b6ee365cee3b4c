import type { Beside } from '../beside.ts';
import { besideMany, describeBeside } from '../beside.ts';
import type { BenchOptions } from '../command-line.ts';
import { ProjectContestant } from '../contestants/project.ts';
import { DRAIN_MEASURES, DRAIN_METHOD, RATE, drain } from './draining.ts';
import type { Scenario } from './scenario.ts';

/** @param times so many times the future tasks that the command line says */
function drainBeside(name: string, times: number): Scenario {
  const beside = ({ future }: BenchOptions): Beside => ({ future: future * times, finished: 1_000_000 });
  return {
    name,
    onRequest: true,
    contestants: ['project'],
    title: 'The same backlog beside many other tasks, and without them',
    method: ({ options }) =>
      `As drain, in a database that besides holds ${describeBeside(beside(options))}. Without them, the same files ` +
      `are copied before, and lie in a database beside. ${DRAIN_METHOD}`,
    measures: DRAIN_MEASURES,
    plan(bench) {
      const { options } = bench;
      const databases = besideMany(bench, 'project', beside(options));
      const subjects = (['alone', 'beside'] as const).map((where) => {
        const contestant = new ProjectContestant(bench, {
          name: 'project',
          createDatabase: databases[where],
        });
        return {
          name: `project, ${where}`,
          setup: contestant.setup,
          measure: () => drain(bench, contestant, { count: options.tasks }),
        };
      });
      const comparison = { of: 'project, beside', against: 'project, alone', measure: RATE };
      return { subjects, comparisons: [comparison] };
    },
  };
}

export const drainBeside1M = drainBeside('drain-beside', 1);
export const drainBeside10M = drainBeside('drain-beside-10m', 10);
