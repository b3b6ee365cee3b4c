/** What `npm run sim` is asked to do. */
import { parseArgs } from 'node:util';

export const HELP = `Runs a whole cluster in one process, on virtual time, with faults drawn from a seed.

  npm run sim -- --seed 42 --steps 5000    one seed; prints what happened if a promise is broken
  npm run sim -- --seed 42 --transcript    the same, and prints what happened in any case
  npm run sim -- --seeds 100000            many seeds, on all processors, until one fails
  npm run sim -- --mutants                 the product with one safeguard taken away, for each: is it noticed?

  --steps N        steps of each schedule (300)
  --no-shrink      do not look for a shorter schedule that fails

of one seed:
  --transcript     print what happened though no promise was broken

of many seeds:
  --from N         the first of them (1)
  --threads N      threads to run them on (one a processor)
  --all            do not stop at the first seed that fails
  --brief          of a seed that fails, print which promise it breaks and no more

of mutants:
  --only TEXT      only those whose names have it
  --seeds N        seeds tried for each at most (1000)
`;

export interface OneSeed {
  readonly kind: 'seed';
  readonly seed: number;
  readonly steps: number;
  readonly shrink: boolean;
  readonly transcript: boolean;
}

export interface ManySeeds {
  readonly kind: 'seeds';
  readonly from: number;
  readonly count: number;
  readonly steps: number;
  /** By default one a processor. */
  readonly threads: number | undefined;
  readonly all: boolean;
  readonly shrink: boolean;
  readonly brief: boolean;
}

export interface AllMutants {
  readonly kind: 'mutants';
  readonly only: string;
  readonly seeds: number;
  readonly steps: number;
}

export interface Help {
  readonly kind: 'help';
}

/** The arguments make no sense; the message says why, and fits on a line. */
export class UsageError extends Error {
  override name = 'UsageError';
}

const OPTIONS = {
  seed: { type: 'string' },
  seeds: { type: 'string' },
  from: { type: 'string' },
  steps: { type: 'string' },
  threads: { type: 'string' },
  all: { type: 'boolean' },
  shrink: { type: 'boolean' },
  brief: { type: 'boolean' },
  mutants: { type: 'boolean' },
  only: { type: 'string' },
  transcript: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;
type Name = keyof typeof OPTIONS;

const TAKES: Record<'seed' | 'seeds' | 'mutants', readonly Name[]> = {
  seed: ['seed', 'steps', 'shrink', 'transcript'],
  seeds: ['seeds', 'steps', 'shrink', 'from', 'threads', 'all', 'brief'],
  mutants: ['mutants', 'steps', 'only', 'seeds'],
};

/** @throws UsageError */
export function readOptions(args: readonly string[]): OneSeed | ManySeeds | AllMutants | Help {
  const values = parse(args);
  if (values.help === true) return { kind: 'help' };
  const kind = values.mutants === true ? 'mutants' : values.seed !== undefined ? 'seed' : 'seeds';
  if (kind === 'seeds' && values.seeds === undefined)
    throw new UsageError('give --seed N, --seeds N or --mutants');
  for (const name of Object.keys(values) as Name[]) {
    if (!TAKES[kind].includes(name)) throw new UsageError(`--${name} does not go with --${kind}`);
  }
  const number = (name: 'seed' | 'seeds' | 'from' | 'steps' | 'threads', least: number) => {
    const text = values[name];
    if (text === undefined) return undefined;
    if (!/^[0-9]{1,9}$/.test(text) || Number(text) < least)
      throw new UsageError(`--${name} must be a whole number from ${least}, not "${text}"`);
    return Number(text);
  };
  const { shrink = true, transcript = false, all = false, brief = false, only = '' } = values;
  const steps = number('steps', 1) ?? 300;
  if (kind === 'mutants') return { kind, only, seeds: number('seeds', 1) ?? 1_000, steps };
  if (kind === 'seed') return { kind, seed: number('seed', 0) ?? 0, steps, shrink, transcript };
  const [from, count] = [number('from', 0) ?? 1, number('seeds', 1) ?? 1];
  return { kind, from, count, steps, threads: number('threads', 1), all, shrink, brief };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowNegative: true }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
