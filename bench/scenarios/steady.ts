import pg from 'pg';
import type { Bench } from '../bench.ts';
import { ProjectContestant } from '../contestants/project.ts';
import { execute } from '../servers/postgres.ts';
import { longestStatements, resetStatements } from '../servers/statements.ts';
import { untilSettled } from './draining.ts';
import type { Measured, Scenario } from './scenario.ts';

const BATCH = 20_000;
/** The first and the last of so many parts of the time are compared. */
const PARTS = 10;
const BATCH_DEADLINE_MS = 600_000;

const KEPT = 'last : first';
const [FIRST, LAST, SLOWEST] = ['first tenth', 'last tenth', 'slowest tenth'];
const rate = (tenth: string) => `tasks/s, ${tenth}`;
const stall = (tenth: string) => `longest stall ms, ${tenth}`;

const [AFTER_FIRST, AT_END] = ['after the first tenth', 'at the end'];
const SIZES = {
  heap: 'table bytes/task',
  indexes: 'index bytes/task',
  tasks: 'dead rows of task',
  records: 'dead rows of claim_record',
};
type Sizes = Record<keyof typeof SIZES, string>;
const size = (of: keyof Sizes, when: string) => `${SIZES[of]} ${when}`;

/** @param held whether a transaction is open elsewhere the whole time */
function steady(name: string, title: string, held: boolean): Scenario {
  return {
    name,
    onRequest: true,
    contestants: ['project'],
    rounds: 1,
    title,
    method: ({ options }) =>
      `For ${options.minutes} minutes, ${BATCH.toLocaleString('en')} due no-op tasks are stored as soon as those before ` +
      'have ended; storing counts. ' +
      (held ? 'All the while a transaction that was opened before holds its snapshot. ' : '') +
      'A stall is the longest time between two moments at which tasks are recorded as ended, storing in between included. ' +
      'Bytes are those of all tables and their indexes; dead rows are the server’s estimate.',
    measures: [
      ...[FIRST, LAST, SLOWEST].map((tenth) => ({ name: rate(tenth), digits: 0 })),
      { name: KEPT, digits: 2 },
      ...[FIRST, LAST].map((tenth) => ({ name: stall(tenth), digits: 0 })),
      ...(Object.keys(SIZES) as (keyof Sizes)[]).flatMap((of) =>
        [AFTER_FIRST, AT_END].map((when) => ({ name: size(of, when), digits: 0 })),
      ),
    ],
    plan(bench) {
      const createDatabase = () => bench.postgres.create('project');
      const project = new ProjectContestant(bench, { name: 'project', createDatabase });
      const subject = { name: 'project', setup: project.setup, measure: () => measure(bench, project, held) };
      return { subjects: [subject], comparisons: [] };
    },
  };
}

export const steadyScenario = steady('steady', 'A steady load, history kept', false);
export const steadyHeldScenario = steady('steady-held', 'The same beside a transaction held open', true);

async function measure(
  { options, say }: Bench,
  project: ProjectContestant,
  held: boolean,
): Promise<Measured> {
  let holder: pg.Client | undefined;
  try {
    await project.start();
    await project.work();
    await project.ready();
    const url = project.postgresUrl ?? '';
    if (held) holder = await holdTransaction(url);
    const partMs = (options.minutes * 60_000) / PARTS;
    const measured: Record<string, number> = {};
    const rates: number[] = [];
    // The highest id there was before each part, and at the end.
    const ids: string[] = [];
    let stored = 0;
    for (let part = 0; part < PARTS; part++) {
      ids.push(await lastId(url));
      const beginMs = performance.now();
      const before = stored;
      if (options.profile) await resetStatements(url);
      do {
        await project.load({ count: BATCH, first: stored });
        await untilSettled(project, BATCH_DEADLINE_MS);
        stored += BATCH;
      } while (performance.now() - beginMs < partMs);
      rates.push(((stored - before) * 1_000) / (performance.now() - beginMs));
      if (options.profile) say((await longestStatements(url)).join('\n'));
      if (part === 0) Object.assign(measured, await sizes(url, stored, AFTER_FIRST));
    }
    ids.push(await lastId(url));
    const [first = NaN, last = NaN] = [rates[0], rates.at(-1)];
    return {
      ...measured,
      ...{
        [rate(FIRST)]: first,
        [rate(LAST)]: last,
        [rate(SLOWEST)]: Math.min(...rates),
        [KEPT]: last / first,
      },
      ...(await sizes(url, stored, AT_END)),
      // Now that nothing is measured any more: all those tasks are read.
      [stall(FIRST)]: await longestStallMs(url, ids[0], ids[1]),
      [stall(LAST)]: await longestStallMs(url, ids.at(-2), ids.at(-1)),
    };
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

async function sizes(url: string, tasks: number, when: string): Promise<Measured> {
  const [row] = await execute(
    url,
    `SELECT sum(pg_table_size(relid)) AS heap, sum(pg_indexes_size(relid)) AS indexes,
            sum(n_dead_tup) FILTER (WHERE relname = 'task') AS tasks,
            sum(n_dead_tup) FILTER (WHERE relname = 'claim_record') AS records
     FROM pg_stat_user_tables`,
  );
  const { heap, indexes, tasks: deadTasks, records } = row as Sizes;
  return {
    [size('heap', when)]: Number(heap) / tasks,
    [size('indexes', when)]: Number(indexes) / tasks,
    [size('tasks', when)]: Number(deadTasks),
    [size('records', when)]: Number(records),
  };
}

async function lastId(url: string): Promise<string> {
  const [row] = (await execute(url, 'SELECT coalesce(max(id), 0) AS id FROM task')) as { id: string }[];
  return row?.id ?? '0';
}

/** The longest time in which none of the tasks with ids above `after` up to `upTo` ended, from the first end to the last. */
async function longestStallMs(url: string, after?: string, upTo?: string): Promise<number> {
  const [row] = (await execute(
    url,
    `SELECT 1000 * max(extract(epoch FROM gap)) AS ms
     FROM (SELECT completed_at - lag(completed_at) OVER (ORDER BY completed_at) AS gap
           FROM (SELECT DISTINCT completed_at FROM task WHERE id > $1 AND id <= $2) AS ends) AS gaps`,
    [after, upTo],
  )) as { ms: string }[];
  return Number(row?.ms);
}
