import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Counts, VitestReport } from './counts.ts';
import { countCheck, countTests, nothing } from './counts.ts';

/** One part of a test run; resolves with what it came to, never rejects for a failure of what it checks. */
export interface Step {
  readonly title: string;
  readonly run: (signal: AbortSignal) => Promise<Counts>;
}

const PROGRAMS = new URL('../../../node_modules/.bin/', import.meta.url);

/** A program that an npm package of ours brings, and its arguments. */
export type Tool = readonly [name: string, ...args: string[]];

/** Programs that must all exit with code 0; side by side. */
export function check(title: string, tools: readonly Tool[]): Step {
  return {
    title,
    async run(signal) {
      const exitCodes = await Promise.all(tools.map((tool) => execute(tool, signal)));
      return countCheck(Math.max(...exitCodes));
    },
  };
}

/** A project of vitest.config.ts, with `env` over our environment; `args` are for vitest. */
export function vitest(
  title: string,
  project: string,
  { env = {}, args: more = [] }: { env?: NodeJS.ProcessEnv; args?: readonly string[] } = {},
): Step {
  return {
    title,
    async run(signal) {
      const args = ['run', '--project', project, '--reporter=default', '--reporter=json', ...more];
      return withTemporaryFile(async (file) => {
        const exitCode = await execute(['vitest', ...args, `--outputFile.json=${file}`], signal, env);
        return countTests((await readJson(file)) as VitestReport | undefined, exitCode);
      });
    },
  };
}

/** The same for want of a server: all tests of the project count as skipped. */
export function skip(title: string, project: string): Step {
  return {
    title,
    async run(signal) {
      const tests = await withTemporaryFile(async (file) => {
        await execute(['vitest', 'list', '--project', project, `--json=${file}`], signal);
        return (await readJson(file)) as readonly unknown[] | undefined;
      });
      if (tests === undefined) return { ...nothing, failed: 1 };
      console.log(`${tests.length} tests skipped for want of a server`);
      return { ...nothing, skipped: tests.length };
    },
  };
}

async function withTemporaryFile<T>(use: (file: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'test-run-'));
  try {
    return await use(join(dir, 'report.json'));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function readJson(file: string): Promise<unknown> {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : JSON.parse(text);
}

/**
 * Runs a program in a process group of its own, so that it is stopped by us alone and only once; and with it
 * whatever its tests have started.
 *
 * @returns its exit code; 1 where it was stopped
 */
async function execute(
  [name, ...args]: Tool,
  signal: AbortSignal,
  env: NodeJS.ProcessEnv = {},
): Promise<number> {
  if (signal.aborted) return 1;
  const child = spawn(fileURLToPath(new URL(name, PROGRAMS)), args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
    detached: true,
  });
  const signalGroup = (kind: NodeJS.Signals) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, kind);
    } catch {
      // Nobody is left in it.
    }
  };
  const stop = () => {
    signalGroup('SIGTERM');
    child.once('exit', () => signalGroup('SIGKILL'));
  };
  signal.addEventListener('abort', stop);
  const exitCode = await new Promise<number>((resolve) => {
    child.once('error', (error) => {
      console.error(`${name}: ${error.message}`);
      resolve(1);
    });
    child.once('exit', (code) => resolve(code ?? 1));
  });
  signal.removeEventListener('abort', stop);
  return exitCode;
}
