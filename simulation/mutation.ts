import { spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { invariant } from '../libs/core/invariant.ts';
import type { Mutant } from './mutants.ts';

/** What it took to notice a mutant. */
export interface Catch {
  readonly seed: number;
  /** The promise that was broken. */
  readonly promise: string;
  readonly message: string;
}

export interface HuntOptions {
  /** Seeds to try at most, from `from`, by default 1. */
  readonly seeds: number;
  readonly from?: number;
  /** By default as many as there are processors. */
  readonly threads?: number;
  readonly steps: number;
  readonly stop?: AbortSignal;
}

const REPOSITORY = fileURLToPath(new URL('..', import.meta.url));
const COPIED = ['apps', 'libs', 'simulation', 'bin', 'package.json', 'tsconfig.json'];

/** Runs seeds on a copy of the product that is mutated so, until one breaks a promise. */
export async function hunt(
  mutant: Mutant,
  { seeds, from = 1, threads, steps, stop }: HuntOptions,
): Promise<Catch | 'SURVIVED' | 'INTERRUPTED'> {
  const which = ['--seeds', `${seeds}`, '--from', `${from}`, '--steps', `${steps}`, '--brief'];
  const by = threads === undefined ? [] : ['--threads', `${threads}`];
  const printed = await runMutated(mutant, [...which, ...by], stop);
  if (stop?.aborted === true) return 'INTERRUPTED';
  const [, seed, promise, message] = /^seed (\d+): (.+?): (.*)$/m.exec(printed) ?? [];
  if (seed !== undefined) return { seed: Number(seed), promise: promise ?? '', message: message ?? '' };
  invariant(
    / 0 failed$/m.test(printed),
    `the simulation of "${mutant.name}" did not run:\n${printed.slice(-2_000)}`,
  );
  return 'SURVIVED';
}

/** What `npm run sim -- …args` prints for a copy of the product that is mutated so. */
export async function runMutated(
  mutant: Mutant,
  args: readonly string[],
  stop?: AbortSignal,
): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'mutant-'));
  try {
    for (const name of COPIED) await cp(join(REPOSITORY, name), join(copy, name), { recursive: true });
    await symlink(join(REPOSITORY, 'node_modules'), join(copy, 'node_modules'));
    await mutate(copy, mutant);
    return await run(copy, args, stop);
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

async function mutate(copy: string, { name, also, ...first }: Mutant): Promise<void> {
  for (const { file, find, replace } of also === undefined ? [first] : [first, also]) {
    const path = join(copy, file);
    const parts = (await readFile(path, 'utf8')).split(find);
    invariant(
      parts.length === 2,
      `"${name}": its text stands ${parts.length - 1} times in ${file}, not once`,
    );
    await writeFile(path, parts.join(replace));
  }
}

/** What `npm run sim` prints in `directory`. */
function run(directory: string, args: readonly string[], stop?: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['bin/run.mjs', 'simulation/main.ts', ...args], { cwd: directory });
    const interrupt = () => child.kill('SIGINT');
    stop?.addEventListener('abort', interrupt, { once: true });
    let printed = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (printed += text));
    }
    child.on('error', reject).on('close', () => {
      stop?.removeEventListener('abort', interrupt);
      resolve(printed);
    });
  });
}
