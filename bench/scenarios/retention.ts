import { besideMany, describeBeside } from '../beside.ts';
import { ProjectContestant } from '../contestants/project.ts';
import { execute } from '../servers/postgres.ts';
import { DRAIN_MEASURES, DRAIN_METHOD, RATE, drain } from './draining.ts';
import type { Scenario } from './scenario.ts';

/** More than are removed while a backlog is drained. */
const BESIDE = { old: 1_000_000, future: 0, finished: 0 };
const REMOVED = 'old tasks removed/task';

/** Each with what it says to the worker. */
const SUBJECTS = {
  'project, removing': { RETENTION_DAYS: '7' },
  'project, keeping': { RETENTION_DAYS: '0' },
};

export const retentionScenario: Scenario = {
  name: 'retention',
  onRequest: true,
  contestants: ['project'],
  title: 'A backlog while old tasks are removed, and while they are kept',
  method: ({ options }) =>
    `${options.tasks.toLocaleString('en')} due no-op tasks wait when the worker starts, in a database that besides holds ` +
    `${describeBeside(BESIDE)}; RETENTION_DAYS is 7, or 0. ${DRAIN_METHOD} Both counts include what was removed.`,
  measures: [...DRAIN_MEASURES, { name: REMOVED, digits: 2 }],
  plan(bench) {
    const { tasks } = bench.options;
    const { beside: createDatabase } = besideMany(bench, 'project', BESIDE);
    const subjects = Object.entries(SUBJECTS).map(([name, env]) => {
      const contestant = new ProjectContestant(bench, { name: 'project', createDatabase, env });
      return {
        name,
        setup: contestant.setup,
        async measure() {
          const measured = await drain(bench, contestant, { count: tasks });
          const left = await countOld(contestant.postgresUrl ?? '');
          return { ...measured, [REMOVED]: (BESIDE.old - left) / tasks };
        },
      };
    });
    const comparison = { of: 'project, removing', against: 'project, keeping', measure: RATE };
    return { subjects, comparisons: [comparison] };
  },
};

async function countOld(url: string): Promise<number> {
  const [row] = await execute(
    url,
    `SELECT count(*)::integer AS old FROM task WHERE completed_at < now() - interval '7 days'`,
  );
  return (row as { old: number }).old;
}
