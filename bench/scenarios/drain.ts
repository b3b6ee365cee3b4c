import { contestants } from '../contestants.ts';
import { DRAIN_METHOD, drain } from './draining.ts';
import type { Scenario } from './scenario.ts';
import { againstOthers } from './scenario.ts';

const RATE = 'tasks/s';

export const drainScenario: Scenario = {
  name: 'drain',
  title: 'A due backlog, one worker process',
  method: ({ options }) =>
    `${options.tasks.toLocaleString('en')} due no-op tasks wait when the worker starts. ${DRAIN_METHOD}`,
  measures: [{ name: RATE, digits: 0 }],
  plan(bench) {
    const subjects = contestants(bench).map((contestant) => ({
      name: contestant.name,
      setup: contestant.setup,
      measure: async () => ({ [RATE]: await drain(contestant, bench.options.tasks) }),
    }));
    return { subjects, comparisons: againstOthers(subjects, RATE) };
  },
};
