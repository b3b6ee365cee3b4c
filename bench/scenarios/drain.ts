import type { Load } from '../contestants/contestant.ts';
import { SCHEDULERS, contestants } from '../contestants.ts';
import { DRAIN_MEASURES, DRAIN_METHOD, RATE, drain } from './draining.ts';
import type { Scenario } from './scenario.ts';
import { againstOthers } from './scenario.ts';

const TEXT_LENGTH = 300;

function drainOf({
  more,
  what,
  ...scenario
}: Pick<Scenario, 'name' | 'title' | 'onRequest'> & {
  readonly more: Pick<Load, 'textLength'>;
  readonly what: string;
}): Scenario {
  return {
    ...scenario,
    contestants: SCHEDULERS,
    method: ({ options }) =>
      `${options.tasks.toLocaleString('en')} due no-op tasks${what} wait when the worker starts. ${DRAIN_METHOD}`,
    measures: DRAIN_MEASURES,
    plan(bench) {
      const subjects = contestants(bench).map((contestant) => ({
        name: contestant.name,
        setup: contestant.setup,
        measure: () => drain(bench, contestant, { count: bench.options.tasks, ...more }),
      }));
      return { subjects, comparisons: againstOthers(subjects, RATE) };
    },
  };
}

export const drainScenario = drainOf({
  name: 'drain',
  title: 'A due backlog, one worker process',
  more: {},
  what: '',
});

export const drainPayloadScenario = drainOf({
  name: 'drain-payload',
  onRequest: true,
  title: 'The same backlog, of tasks with some payload',
  more: { textLength: TEXT_LENGTH },
  what: ` whose payloads have a text of ${TEXT_LENGTH} characters`,
});
