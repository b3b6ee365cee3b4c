/** The packages of the benchmark: its peers, and the Node that everything measured runs on. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const DIR = import.meta.dirname;

/** The Node of the npm package `node`. */
export const NODE = join(DIR, 'node_modules/node/bin/node');

interface Manifest {
  readonly version?: string;
  readonly dependencies: Readonly<Record<string, string>>;
}

const manifest = (...path: string[]) =>
  JSON.parse(readFileSync(join(DIR, ...path, 'package.json'), 'utf8')) as Manifest;

/** Whether every package is there in the version pinned. */
function isInstalled(): boolean {
  const pinned = Object.entries(manifest().dependencies);
  return pinned.every(([name, version]) => {
    const path = ['node_modules', name];
    return existsSync(join(DIR, ...path, 'package.json')) && manifest(...path).version === version;
  });
}

/**
 * Installs what is missing, as the lock file says.
 * @param signal ends npm
 * @throws where npm fails, or was told not to run the script by which the package `node` gets its binary
 */
export async function install(say: (text: string) => void, signal?: AbortSignal): Promise<void> {
  if (!isInstalled()) {
    say('installing the packages of bench/ …');
    const npm = spawn('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: DIR,
      stdio: ['ignore', 'inherit', 'inherit'],
      ...(signal !== undefined && { signal }),
    });
    const code = await new Promise<number | null>((resolve, reject) => {
      npm.once('error', reject).once('exit', resolve);
    });
    if (code !== 0) throw new Error(`npm ci in bench/ failed with code ${code ?? 'none'}`);
  }
  if (!existsSync(NODE))
    throw new Error(`${NODE} is missing: npm must run install scripts (ignore-scripts=false)`);
}
