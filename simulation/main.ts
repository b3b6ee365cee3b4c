/** `npm run sim`: runs seeds of the simulation, and tells the story of one that fails. See docs/simulation.md. */
import type { Step } from './actions.ts';
import { MUTANTS } from './mutants.ts';
import { hunt } from './mutation.ts';
import { HELP, readOptions, UsageError } from './options.ts';
import type { AllMutants, Help, ManySeeds, OneSeed } from './options.ts';
import { runSeed } from './run.ts';
import type { RunResult } from './run.ts';
import { runSeeds } from './seeds.ts';
import type { FailedSeed } from './seeds.ts';
import { shrink } from './shrink.ts';

const PROGRESS_MS = 5_000;
const TRANSCRIPT_LINES = 400;

async function main(): Promise<number> {
  let options: OneSeed | ManySeeds | AllMutants | Help;
  try {
    options = readOptions(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\nnpm run sim -- --help tells what there is`);
    return 2;
  }
  switch (options.kind) {
    case 'help':
      console.log(HELP);
      return 0;
    case 'seed':
      return runOne(options);
    case 'seeds':
      return runMany(options);
    case 'mutants':
      return runMutants(options);
  }
}

/** Does `work`, which a first Ctrl-C asks to stop; a second one ends the process. */
async function interruptible<T>(work: (stop: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController();
  const interrupted = () => stop.abort();
  process.once('SIGINT', interrupted);
  try {
    return await work(stop.signal);
  } finally {
    process.off('SIGINT', interrupted);
  }
}

async function runOne({ seed, steps, shrink: wanted, transcript }: OneSeed): Promise<number> {
  const result = await runSeed({ seed, steps, transcript });
  if (result.violation !== undefined) return tell(seed, result, wanted);
  for (const line of result.transcript) console.log(line);
  const { virtualMs, tasks, handlersStarted } = result;
  console.log(
    `seed ${seed}: ok, ${steps} steps, ${(virtualMs / 1_000).toFixed(0)} s of virtual time, ${tasks} tasks, ${handlersStarted} attempts`,
  );
  return 0;
}

/** A line a mutant: the seed that noticed it, and by which promise. */
async function runMutants({ only, seeds, steps }: AllMutants): Promise<number> {
  const mutants = MUTANTS.filter(({ name }) => name.includes(only));
  if (mutants.length === 0) {
    console.error(`no mutant's name has "${only}" in it; there are:`);
    for (const { name } of MUTANTS) console.error(`  ${name}`);
    return 2;
  }
  let survivors = 0;
  for (const mutant of mutants) {
    const caught = await interruptible((stop) => hunt(mutant, { seeds, steps, stop }));
    if (caught === 'INTERRUPTED') return 130;
    if (caught === 'SURVIVED') survivors += 1;
    const outcome =
      caught === 'SURVIVED'
        ? `SURVIVED ${seeds} seeds`
        : `seed ${caught.seed}: ${caught.promise}: ${caught.message}`;
    console.log(`${mutant.name}: ${outcome}`);
  }
  return survivors === 0 ? 0 : 1;
}

async function runMany({
  from,
  count,
  steps,
  threads,
  all,
  shrink: wanted,
  brief,
}: ManySeeds): Promise<number> {
  const startMs = performance.now();
  let saidMs = startMs;
  const elapsed = () => (performance.now() - startMs) / 1_000;
  const say = ({ seed, promise, message }: FailedSeed) => console.log(`seed ${seed}: ${promise}: ${message}`);
  const onProgress = (seeds: number) => {
    if (performance.now() - saidMs < PROGRESS_MS) return;
    saidMs = performance.now();
    console.log(`${seeds} of ${count} seeds, ${(seeds / elapsed()).toFixed(0)} a second`);
  };
  const { done, failed, handlersStarted, virtualMs, longestMs, counts, interrupted } = await interruptible(
    async (stop) => ({
      // Of many that may fail, each is told at once: the run may take hours.
      ...(await runSeeds({
        from,
        count,
        steps,
        threads,
        all,
        stop,
        onProgress,
        ...(all && { onFailed: say }),
      })),
      interrupted: stop.aborted,
    }),
  );
  const summary = `${done} seeds × ${steps} steps in ${elapsed().toFixed(1)} s: ${handlersStarted} attempts in ${(virtualMs / 3_600_000).toFixed(1)} h of virtual time`;
  console.log(`${summary}, ${failed.length} failed${interrupted ? ' (interrupted)' : ''}`);
  const seconds = (ms: number) => `${(ms / 1_000).toFixed(2)} s`;
  console.log(
    `once faults had stopped, at most: ${seconds(longestMs.unassigned)} until owned and balanced, a due task PENDING for ${seconds(longestMs.due)}, RUNNING without a lease for ${seconds(longestMs.abandoned)}, RUNNING without a handler for ${seconds(longestMs.idle)}, RUNNING though cancelled for ${seconds(longestMs.cancelling)}, a record of a claim without attempts for ${seconds(longestMs.unsettled)}, a task longer than tasks are kept for ${seconds(longestMs.kept)}`,
  );
  console.log(
    [...counts]
      .map(([what, times]) => `${times} ${what}`)
      .sort()
      .join(', '),
  );
  for (const each of brief ? failed : failed.slice(1)) say(each);
  const [first] = failed;
  if (first === undefined) return interrupted ? 130 : 0;
  if (brief) return 1;
  return tell(first.seed, await runSeed({ seed: first.seed, steps }), wanted);
}

/** The seed, the shortest schedule that fails as well, and what happened in it. */
async function tell(
  seed: number,
  { violation, schedule, steps }: RunResult,
  wanted: boolean,
): Promise<number> {
  console.log(`seed ${seed}: ${violation?.promise ?? ''}: ${violation?.message ?? ''}`);
  let shortest: readonly Step[] = schedule.slice(0, steps);
  if (wanted) {
    const fails = async (candidate: readonly Step[]) =>
      (await runSeed({ seed, steps: candidate.length, schedule: candidate })).violation?.promise ===
      violation?.promise;
    shortest = await shrink(shortest, fails);
    console.log(`\nshortest schedule found that breaks it, ${shortest.length} of ${schedule.length} steps:`);
    for (const { action, thenMs } of shortest)
      console.log(`  ${action === undefined ? 'nothing' : JSON.stringify(action)}, then ${thenMs} ms`);
  }
  const { transcript } = await runSeed({
    seed,
    steps: shortest.length,
    schedule: shortest,
    transcript: true,
  });
  const shown = transcript.slice(-TRANSCRIPT_LINES);
  console.log(
    `\nwhat happened${shown.length < transcript.length ? ` (the last ${shown.length} of ${transcript.length} lines)` : ''}:`,
  );
  for (const line of shown) console.log(line);
  console.log(`\nagain: npm run sim -- --seed ${seed} --steps ${schedule.length}`);
  return 1;
}

process.exitCode = await main();
