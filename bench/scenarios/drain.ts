import { SCHEDULERS, contestants } from '../contestants.ts';
import { DRAIN_MEASURES, DRAIN_METHOD, RATE, drain } from './draining.ts';
import type { Scenario } from './scenario.ts';
import { againstOthers } from './scenario.ts';

export const drainScenario: Scenario = {
  name: 'drain',
  contestants: SCHEDULERS,
  title: 'A due backlog, one worker process',
  method: ({ options }) =>
    `${options.tasks.toLocaleString('en')} due no-op tasks wait when the worker starts. ${DRAIN_METHOD}`,
  measures: DRAIN_MEASURES,
  plan(bench) {
    const subjects = contestants(bench).map((contestant) => ({
      name: contestant.name,
      setup: contestant.setup,
      measure: () => drain(bench, contestant, bench.options.tasks),
    }));
    return { subjects, comparisons: againstOthers(subjects, RATE) };
  },
};
