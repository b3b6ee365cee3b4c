/** The benchmark itself: starts the servers, runs the scenarios, records the results. Its argument is the options. */
import { join } from 'node:path';
import type { Bench } from './bench.ts';
import type { BenchOptions } from './command-line.ts';
import { isTrial } from './command-line.ts';
import { machine } from './machine.ts';
import { Processes } from './processes.ts';
import { record } from './results.ts';
import { makeRunDirectory, removeRunDirectory } from './run-directory.ts';
import { runScenario } from './run-scenario.ts';
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

  say(machine());
  say(postgres.description);
  say(
    redis?.description ??
      'bullmq is left out: there is no redis-server on this machine (apt install redis-server)',
  );
  return { options, postgres, redis, processes, dir, profileDir: join(import.meta.dirname, 'profiles'), say };
}

async function run(bench: Bench): Promise<void> {
  const results = join(import.meta.dirname, 'results', ...(isTrial(options) ? ['trial'] : []));
  for (const name of options.scenarios) {
    const scenario = SCENARIOS.find((candidate) => candidate.name === name);
    if (scenario === undefined) continue;
    const result = await runScenario(scenario, bench);
    await record(
      results,
      result,
      SCENARIOS.map((each) => each.name),
    );
    say(`written to ${join(results, `${name}.json`)}`);
  }
  say(`\n${join(results, 'README.md')} shows them all`);
}
