import { randomUUID } from 'node:crypto';
import { bootstrapDatabase } from '../../libs/db/bootstrap.ts';
import { migrate } from '../../libs/db/migrate.ts';
import type { Bench } from '../bench.ts';
import { takesPart } from '../contestants.ts';
import type { Contestant } from '../contestants/contestant.ts';
import { ProjectContestant } from '../contestants/project.ts';
import { execute } from '../servers/postgres.ts';
import { DRAIN_MEASURES, DRAIN_METHOD, RATE, drain } from './draining.ts';
import type { Scenario } from './scenario.ts';

const PARTITIONS = 64;
const FINISHED = 1_000_000;

/** @param times so many times the future tasks that the command line says */
function drainBeside(name: string, times: number): Omit<Scenario, 'onRequest'> {
  return {
    name,
    title: 'The same backlog beside many other tasks, and without them',
    method: ({ options }) =>
      `As drain, in a database that besides holds ${count(options.future * times)} tasks due within a month, from ` +
      `tomorrow on, and ${count(FINISHED)} finished ones. ${DRAIN_METHOD}`,
    measures: DRAIN_MEASURES,
    plan(bench) {
      if (!takesPart(bench, 'project')) return { subjects: [], comparisons: [] };
      const { postgres, options } = bench;
      const template = once(() => makeTemplate(bench, options.future * times));
      const contestants: [string, () => Promise<string>][] = [
        ['alone', () => postgres.create('project')],
        ['beside', async () => postgres.create('project', await template())],
      ];
      const subjects = contestants.map(([where, createDatabase]) => {
        const contestant: Contestant = new ProjectContestant(bench, { name: 'project', createDatabase });
        return {
          name: `project, ${where}`,
          setup: contestant.setup,
          measure: () => drain(bench, contestant, options.tasks),
        };
      });
      const comparison = { of: 'project, beside', against: 'project, alone', measure: RATE };
      return { subjects, comparisons: [comparison] };
    },
  };
}

export const drainBeside1M: Scenario = drainBeside('drain-beside', 1);
export const drainBeside10M: Scenario = { ...drainBeside('drain-beside-10m', 10), onRequest: true };

/** A database with those other tasks, to be copied. @returns its name */
async function makeTemplate({ postgres, say }: Bench, future: number): Promise<string> {
  const name = `project-beside-${future}`;
  say(`storing ${count(future)} future and ${count(FINISHED)} finished tasks …`);
  const url = await postgres.create(name);
  await migrate({ url });
  await bootstrapDatabase({ url, uid: randomUUID(), partitions: PARTITIONS });
  // As the API stores them, but for the partition, which is as good as any other.
  await execute(
    url,
    `INSERT INTO task (partition_id, name, payload, scheduled_at, due_at)
     SELECT n % $2, 'noop', '{}', t, t
     FROM (SELECT n, now() + interval '1 day' + random() * interval '30 days' AS t
           FROM generate_series(1, $1) AS n) AS future`,
    [future, PARTITIONS],
  );
  await execute(
    url,
    `INSERT INTO task (partition_id, status, attempt, name, payload, scheduled_at, due_at, started_at, completed_at,
                       epoch, claim_id, incarnation, worker_id)
     SELECT n % $2, 'COMPLETED', 1, 'noop', '{}', t, t, t, t, 1, gen_random_uuid(), 'worker-0~1', 'worker-0'
     FROM (SELECT n, now() - n * interval '1 millisecond' AS t FROM generate_series(1, $1) AS n) AS finished`,
    [FINISHED, PARTITIONS],
  );
  await postgres.settle(url);
  return name;
}

/** What `make` gives the first time, for every time. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

const count = (n: number) => n.toLocaleString('en');
