import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Bench } from '../bench.ts';
import { ProjectContestant } from '../contestants/project.ts';
import { pause } from '../processes.ts';
import { startPostgres } from '../servers/postgres.ts';
import { STATEMENT_SETTINGS, resetStatements, statements } from '../servers/statements.ts';
import { untilSettled } from './draining.ts';
import type { Measured, Scenario } from './scenario.ts';

const WORKERS = 3;
const PARTITIONS = [64, 1_024];
/** Which are over when it begins: who has run something looks now and then whether it still does. */
const TASKS_PER_PARTITION = 10;
const SETTLE_DEADLINE_MS = 60_000;
/** Until what starting has caused is over: V8 still compiles, and collects what that leaves. */
const CALM_MS = 30_000;
const WATCHED_MS = 15_000;

const WORKER = '% of a core, busiest worker';
const OTHER = '% of a core, busiest other process';
const STATEMENTS = 'statements/s';

export const idleScenario: Scenario = {
  name: 'idle',
  onRequest: true,
  contestants: ['project'],
  title: 'A cluster that has nothing to do',
  method: () =>
    `${WORKERS} workers, ${CALM_MS / 1_000} s after all is in place and each partition has had ${TASKS_PER_PARTITION} tasks, watched for ${WATCHED_MS / 1_000} s: processor time by ` +
    '/proc (Linux only), statements by pg_stat_statements.',
  measures: [
    { name: WORKER, digits: 2 },
    { name: OTHER, digits: 2 },
    { name: STATEMENTS, digits: 1 },
  ],
  plan(bench) {
    const subjects = PARTITIONS.map((partitions) => ({
      name: `project, ${partitions.toLocaleString('en')} partitions`,
      setup: 'controller, worker-node, scheduler-api, embedded ZooKeeper; a Postgres of their own',
      measure: () => measure(bench, partitions),
    }));
    return { subjects, comparisons: [] };
  },
};

async function measure(bench: Bench, partitions: number): Promise<Measured> {
  const postgres = await startPostgres(join(bench.dir, 'counting'), STATEMENT_SETTINGS, console.error);
  const project = new ProjectContestant(bench, {
    name: 'project',
    createDatabase: () => postgres.create('project'),
    env: { PARTITIONS: String(partitions) },
  });
  try {
    await project.start();
    for (let started = 0; started < WORKERS; started++) await project.work();
    await project.ready();
    await project.load({ count: TASKS_PER_PARTITION * partitions });
    await untilSettled(project, SETTLE_DEADLINE_MS);
    await pause(CALM_MS);
    const ticksPerSecond = Number((await promisify(execFile)('getconf', ['CLK_TCK'])).stdout);
    const look = async () => ({
      atMs: performance.now(),
      ticks: await Promise.all(project.apps.map(({ pid }) => processorTicks(pid ?? 0))),
    });
    await resetStatements(postgres.url('project'));
    const before = await look();
    await pause(WATCHED_MS);
    const after = await look();
    const seconds = (after.atMs - before.atMs) / 1_000;
    const busiest = (workers: boolean) => {
      const ticks = project.apps.flatMap(({ name }, index) =>
        name.includes('worker') === workers ? [(after.ticks[index] ?? 0) - (before.ticks[index] ?? 0)] : [],
      );
      return (100 * Math.max(...ticks)) / ticksPerSecond / seconds;
    };
    return {
      [WORKER]: busiest(true),
      [OTHER]: busiest(false),
      // The one that set the counts to zero is counted.
      [STATEMENTS]: ((await statements(postgres.url('project'))) - 1) / seconds,
    };
  } finally {
    await project.stop();
    await postgres.stop();
  }
}

/** User and system time of a process so far, in clock ticks: fields 14 and 15 of its stat, after its name. */
async function processorTicks(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
