import type { Bench } from '../bench.ts';
import { contestants } from '../contestants.ts';
import type { Contestant } from '../contestants/contestant.ts';
import { RATE, rateOfDrain } from './draining.ts';
import type { Measured, Scenario } from './scenario.ts';

const WORKERS = [1, 2, 4, 8];
/** So many times a backlog of `drain`. */
const TIMES = 6;

const subjectName = (workers: number) => `project, ${workers} worker${workers === 1 ? '' : 's'}`;

export const drainWorkersScenario: Scenario = {
  name: 'drain-workers',
  onRequest: true,
  contestants: ['project'],
  title: 'A backlog that comes all at once, by the number of worker processes',
  method: ({ options }) =>
    `${(TIMES * options.tasks).toLocaleString('en')} due no-op tasks are committed in one transaction while the workers, each ` +
    'with its share of the partitions, wait for work. The clock runs from the start of the first handler, as for drain. ' +
    `${options.tasks.toLocaleString('en')} others were worked off before, and are not counted: each process compiles its code in them.`,
  measures: [{ name: RATE, digits: 0 }],
  plan(bench) {
    const subjects = contestants(bench, ['project']).flatMap((contestant) =>
      WORKERS.map((workers) => ({
        name: subjectName(workers),
        setup: contestant.setup,
        measure: () => measure(bench, contestant, workers),
      })),
    );
    const neighbours = WORKERS.slice(1).map((workers, index) => [workers, WORKERS[index] ?? 1] as const);
    const comparisons = [...neighbours, [8, 2] as const].map(([of, against]) => ({
      of: subjectName(of),
      against: subjectName(against),
      measure: RATE,
    }));
    return { subjects, comparisons };
  },
};

async function measure({ options }: Bench, contestant: Contestant, workers: number): Promise<Measured> {
  try {
    await contestant.start();
    for (let started = 0; started < workers; started++) await contestant.work('BACKLOG');
    await contestant.ready();
    await contestant.load({ count: options.tasks });
    await rateOfDrain(contestant, { count: options.tasks });
    const backlog = { first: options.tasks, count: TIMES * options.tasks };
    await contestant.load(backlog);
    return { [RATE]: await rateOfDrain(contestant, backlog) };
  } finally {
    await contestant.stop();
  }
}
