import pg from 'pg';
import type { Bench } from '../bench.ts';
import { takesPart } from '../contestants.ts';
import { ProjectContestant } from '../contestants/project.ts';
import { execute } from '../servers/postgres.ts';
import { untilSettled } from './draining.ts';
import type { Measured, Scenario } from './scenario.ts';

const BATCH = 20_000;
/** The first and the last of so many parts of the time are compared. */
const PARTS = 10;
const BATCH_DEADLINE_MS = 600_000;

const FIRST = 'tasks/s, first tenth';
const LAST = 'tasks/s, last tenth';
const KEPT = 'last : first';
const HEAP = 'table bytes/task';
const INDEXES = 'index bytes/task';
const DEAD = 'dead rows at the end';

export const steadyScenario: Scenario = {
  name: 'steady',
  onRequest: true,
  rounds: 1,
  title: 'A steady load, history kept',
  method: ({ options }) =>
    `For ${options.minutes} minutes, ${BATCH.toLocaleString('en')} due no-op tasks are stored as soon as those before ` +
    'have ended; storing counts. Once all the while beside a transaction that was opened before and holds its snapshot.',
  measures: [
    { name: FIRST, digits: 0 },
    { name: LAST, digits: 0 },
    { name: KEPT, digits: 2 },
    { name: HEAP, digits: 0 },
    { name: INDEXES, digits: 0 },
    { name: DEAD, digits: 0 },
  ],
  plan(bench) {
    if (!takesPart(bench, 'project')) return { subjects: [], comparisons: [] };
    const createDatabase = () => bench.postgres.create('project');
    const project = new ProjectContestant(bench, { name: 'project', createDatabase });
    const subjects = ['project', 'project, a transaction held'].map((name, index) => ({
      name,
      setup: project.setup,
      measure: () => measure(bench, project, index === 1),
    }));
    return { subjects, comparisons: [] };
  },
};

async function measure({ options }: Bench, project: ProjectContestant, held: boolean): Promise<Measured> {
  let holder: pg.Client | undefined;
  try {
    await project.start();
    await project.work();
    await project.ready();
    const url = project.postgresUrl ?? '';
    if (held) holder = await holdTransaction(url);
    const partMs = (options.minutes * 60_000) / PARTS;
    const rates: number[] = [];
    let stored = 0;
    for (let part = 0; part < PARTS; part++) {
      const beginMs = performance.now();
      const before = stored;
      do {
        await project.load({ count: BATCH, first: stored });
        await untilSettled(project, BATCH_DEADLINE_MS);
        stored += BATCH;
      } while (performance.now() - beginMs < partMs);
      rates.push(((stored - before) * 1_000) / (performance.now() - beginMs));
    }
    const [first = NaN, last = NaN] = [rates[0], rates.at(-1)];
    return { [FIRST]: first, [LAST]: last, [KEPT]: last / first, ...(await sizes(url, stored)) };
  } finally {
    await holder?.end();
    await project.stop();
  }
}

/** Opens a transaction that keeps dead rows from being removed until its connection is closed. */
async function holdTransaction(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: 'bench-holder' });
  await client.connect();
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
  await client.query('SELECT count(*) FROM task');
  return client;
}

async function sizes(url: string, tasks: number): Promise<Measured> {
  const [row] = await execute(
    url,
    `SELECT sum(pg_table_size(relid)) AS heap, sum(pg_indexes_size(relid)) AS indexes, sum(n_dead_tup) AS dead
     FROM pg_stat_user_tables`,
  );
  const { heap, indexes, dead } = row as Record<'heap' | 'indexes' | 'dead', string>;
  return { [HEAP]: Number(heap) / tasks, [INDEXES]: Number(indexes) / tasks, [DEAD]: Number(dead) };
}
