/** `npm run sim`: runs seeds of the simulation, and tells the story of one that fails. See docs/simulation.md. */
import { parseArgs } from 'node:util';
import type { Step } from './actions.ts';
import { MUTANTS } from './mutants.ts';
import { hunt } from './mutation.ts';
import { runSeed } from './run.ts';
import type { RunResult } from './run.ts';
import { runSeeds } from './seeds.ts';
import { shrink } from './shrink.ts';

const HELP = `Runs a whole cluster in one process, on virtual time, with faults drawn from a seed.

  npm run sim -- --seed 42 --steps 5000    one seed; prints what happened if a promise is broken
  npm run sim -- --seed 42 --transcript    the same, and prints what happened in any case
  npm run sim -- --seeds 100000            many seeds, on all processors, until one fails
  npm run sim -- --mutants --seeds 500     the product with one safeguard taken away, for each: is it noticed?

  --seed N         the seed to run
  --seeds N        how many seeds to run
  --from N         the first of them (1)
  --steps N        steps of each schedule (300)
  --threads N      threads to run them on (one a processor)
  --all            do not stop at the first seed that fails
  --brief          of a seed that fails, print which promise it breaks and no more
  --no-shrink      do not look for a shorter schedule that fails
  --only TEXT      only the mutants whose names have it
  --transcript     print the transcript of a seed that does not fail, too
`;

const PROGRESS_MS = 5_000;
/** Tried for each mutant, unless told otherwise. */
const MUTANT_SEEDS = 1_000;
const TRANSCRIPT_LINES = 400;

async function main(): Promise<number> {
  const options = readOptions();
  if (typeof options === 'string') {
    (options === HELP ? console.log : console.error)(options);
    return options === HELP ? 0 : 2;
  }
  if ('seed' in options) return runOne(options);
  return options.mutants ? runMutants(options) : runMany(options);
}

interface One {
  readonly seed: number;
  readonly steps: number;
  readonly shrink: boolean;
  readonly transcript: boolean;
}

interface Many {
  readonly from: number;
  readonly count: number;
  readonly steps: number;
  readonly threads: number | undefined;
  readonly all: boolean;
  readonly shrink: boolean;
  readonly brief: boolean;
  readonly mutants: boolean;
  readonly only: string;
}

/** What to do, or what to say instead. */
function readOptions(): One | Many | string {
  let values;
  try {
    ({ values } = parseArgs({
      allowNegative: true,
      options: {
        seed: { type: 'string' },
        seeds: { type: 'string' },
        from: { type: 'string', default: '1' },
        steps: { type: 'string', default: '300' },
        threads: { type: 'string' },
        all: { type: 'boolean', default: false },
        shrink: { type: 'boolean', default: true },
        brief: { type: 'boolean', default: false },
        mutants: { type: 'boolean', default: false },
        only: { type: 'string', default: '' },
        transcript: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    return `${(error as Error).message}\nnpm run sim -- --help tells what there is`;
  }
  if (values.help) return HELP;
  for (const name of ['seed', 'seeds', 'from', 'steps', 'threads'] as const) {
    const value = values[name];
    if (value !== undefined && !/^[0-9]{1,9}$/.test(value))
      return `--${name} must be a whole number, not "${value}"`;
  }
  const steps = Number(values.steps);
  if (values.seed !== undefined && values.seeds !== undefined) return 'give --seed or --seeds, not both';
  if (values.seeds === undefined && !values.mutants) {
    return {
      seed: Number(values.seed ?? values.from),
      steps,
      shrink: values.shrink,
      transcript: values.transcript,
    };
  }
  const threads = values.threads === undefined ? undefined : Math.max(1, Number(values.threads));
  const { all, shrink: wanted, brief, mutants, only } = values;
  const from = Number(values.from);
  return {
    from,
    count: Number(values.seeds ?? MUTANT_SEEDS),
    steps,
    threads,
    all,
    shrink: wanted,
    brief,
    mutants,
    only,
  };
}

async function runOne({ seed, steps, shrink: wanted, transcript }: One): Promise<number> {
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
async function runMutants({ count, steps, only }: Many): Promise<number> {
  let survivors = 0;
  for (const mutant of MUTANTS.filter(({ name }) => name.includes(only))) {
    const caught = await hunt(mutant, { seeds: count, steps });
    if (caught === undefined) survivors += 1;
    const outcome =
      caught === undefined
        ? `SURVIVED ${count} seeds`
        : `seed ${caught.seed}: ${caught.promise}: ${caught.message}`;
    console.log(`${mutant.name}: ${outcome}`);
  }
  return survivors === 0 ? 0 : 1;
}

async function runMany({ from, count, steps, threads, all, shrink: wanted, brief }: Many): Promise<number> {
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  const startMs = performance.now();
  let saidMs = startMs;
  const elapsed = () => (performance.now() - startMs) / 1_000;
  const { done, failed, handlersStarted, virtualMs } = await runSeeds({
    ...{ from, count, steps, threads, all, stop: stop.signal },
    onProgress: (seeds) => {
      if (performance.now() - saidMs < PROGRESS_MS) return;
      saidMs = performance.now();
      console.log(`${seeds} of ${count} seeds, ${(seeds / elapsed()).toFixed(0)} a second`);
    },
  });
  const summary = `${done} seeds × ${steps} steps in ${elapsed().toFixed(1)} s: ${handlersStarted} attempts in ${(virtualMs / 3_600_000).toFixed(1)} h of virtual time`;
  console.log(`${summary}, ${failed.length} failed${stop.signal.aborted ? ' (interrupted)' : ''}`);
  for (const { seed, promise, message } of failed.slice(1))
    console.log(`seed ${seed}: ${promise}: ${message}`);
  const [first] = failed;
  if (first === undefined) return stop.signal.aborted ? 130 : 0;
  if (brief) console.log(`seed ${first.seed}: ${first.promise}: ${first.message}`);
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
