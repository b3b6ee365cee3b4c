import type { Bench } from '../bench.ts';
import { contestants } from '../contestants.ts';
import { PeerContestant } from '../contestants/peer-contestant.ts';
import { DRAIN_MEASURES, DRAIN_METHOD, RATE, drain } from './draining.ts';
import type { Scenario } from './scenario.ts';

const IN_PLACE = 'records, ended in place';
const MOVED = 'records, ended moved';

export const claimStorageScenario: Scenario = {
  name: 'claim-storage',
  onRequest: true,
  title: 'How a claim is stored: in each task’s row, or as a record of the batch',
  method: ({ options }) =>
    `${options.tasks.toLocaleString('en')} due no-op tasks, statements only, batches of 500. ${DRAIN_METHOD}`,
  measures: DRAIN_MEASURES,
  plan(bench) {
    const all = [...contestants(bench, ['raw-sql']), ...records(bench)];
    const subjects = all.map((contestant) => ({
      name: contestant.name,
      setup: contestant.setup,
      measure: () => drain(bench, contestant, bench.options.tasks),
    }));
    const comparisons = [IN_PLACE, MOVED].map((of) => ({ of, against: 'raw-sql', measure: RATE }));
    return { subjects, comparisons };
  },
};

function records(bench: Bench): PeerContestant[] {
  const kinds = [
    { name: IN_PLACE, module: 'in-place', setup: 'a row a claim and partition; an UPDATE when a task ends' },
    { name: MOVED, module: 'moved', setup: 'the same; a task that ends goes to another table' },
  ];
  return kinds.map(
    ({ name, module, setup }) =>
      new PeerContestant(bench, {
        name,
        setup: `docs/adr/0009: ${setup}`,
        module: `claim-records/${module}`,
        createDatabase: () => bench.postgres.create('claim-records'),
      }),
  );
}
