/** The benchmark itself: starts the servers, runs the scenarios, records the results. Its argument is the options. */
import { join } from 'node:path';
import type { Bench } from './bench.ts';
import type { BenchOptions } from './command-line.ts';
import { isTrial } from './command-line.ts';
import { takesPart } from './contestants.ts';
import { commit, listOf, machine, packageVersions } from './machine.ts';
import { Processes } from './processes.ts';
import { record } from './results.ts';
import { makeRunDirectory, removeRunDirectory } from './run-directory.ts';
import { runScenario } from './run-scenario.ts';
import type { Scenario } from './scenarios/scenario.ts';
import { SCENARIOS } from './scenarios.ts';
import { startPostgres } from './servers/postgres.ts';
import { startRedis } from './servers/redis.ts';
import { STATEMENT_SETTINGS } from './servers/statements.ts';

const options = JSON.parse(process.argv[2] ?? '{}') as BenchOptions;
const say = (text: string) => console.log(text);

/** What is to be undone at the end, the last first. */
const cleanups: (() => Promise<void>)[] = [];
let cleaning: Promise<void> | undefined;
const cleanUp = () => (cleaning ??= undo());

async function undo(): Promise<void> {
  for (const cleanup of cleanups.toReversed())
    await cleanup().catch((error: unknown) => console.error(error));
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (cleaning === undefined) say(`${signal}: stopping`);
    void cleanUp().then(() => process.exit(130));
  });
}

try {
  await run(await setUp());
} catch (error) {
  // What fails because everything is being stopped is no fault.
  if (cleaning === undefined) {
    console.error(error);
    process.exitCode = 1;
  }
} finally {
  await cleanUp();
}

async function setUp(): Promise<Bench> {
  const dir = await makeRunDirectory();
  cleanups.push(() => removeRunDirectory(dir));
  const postgres = await startPostgres(dir, options.profile ? STATEMENT_SETTINGS : {}, (reason) =>
    console.error(reason),
  );
  cleanups.push(() => postgres.stop());
  const redis = await startRedis(dir);
  if (redis !== undefined) cleanups.push(() => redis.stop());
  const processes = new Processes(dir);
  cleanups.push(() => processes.close());

  const measured = await commit();
  say(`${measured === undefined ? '' : `commit ${measured}; `}${machine()}`);
  say(listOf(packageVersions()));
  say(postgres.description);
  say(
    redis?.description ??
      'bullmq is left out: there is no redis-server on this machine (apt install redis-server)',
  );
  const profileDir = join(import.meta.dirname, 'profiles');
  return { options, commit: measured, postgres, redis, processes, dir, profileDir, say };
}

async function run(bench: Bench): Promise<void> {
  const beganMs = performance.now();
  const pages = new Set<string>();
  for (const name of options.scenarios) {
    const scenario = SCENARIOS.find((candidate) => candidate.name === name);
    if (scenario === undefined) continue;
    try {
      pages.add(await runAndRecord(scenario, bench));
    } catch (error) {
      if (cleaning !== undefined) throw error;
      // The others may still be measured.
      console.error(`${name}: ${(error as Error).message}`);
      process.exitCode = 1;
    }
  }
  const seconds = Math.round((performance.now() - beganMs) / 1_000);
  say(
    `\ntook ${Math.floor(seconds / 60)} min ${seconds % 60} s; ${[...pages].join(' and ') || 'nothing'} shows the results`,
  );
}

/** Without all that it measures, or with sizes of its own, it is a trial. @returns the page that shows the result */
async function runAndRecord(scenario: Scenario, bench: Bench): Promise<string> {
  const { name } = scenario;
  const absent = scenario.contestants.filter((contestant) => !takesPart(bench, contestant));
  if (absent.length === scenario.contestants.length) {
    throw new Error(`cannot measure ${absent.join(', ')} here`);
  }
  const result = await runScenario(scenario, bench);
  const trial = isTrial(options, scenario) || absent.length > 0;
  const dir = join(import.meta.dirname, 'results', ...(trial ? ['trial'] : []));
  await record(
    dir,
    result,
    SCENARIOS.map((each) => each.name),
  );
  const without = absent.length > 0 ? `, without ${absent.join(', ')}` : '';
  say(`written to ${join(dir, `${name}.json`)}${trial ? `: a trial${without}` : ''}`);
  return join(dir, 'README.md');
}
