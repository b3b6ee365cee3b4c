/** What the figures were measured on and with. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { arch, availableParallelism, cpus, platform, release, totalmem } from 'node:os';
import { promisify } from 'node:util';

export interface Package {
  readonly name: string;
  readonly version: string;
}

export function machine(): string {
  const memoryGb = (totalmem() / 2 ** 30).toFixed(1);
  const model = cpus()[0]?.model ?? 'unknown CPU';
  return `${model}, ${availableParallelism()} CPUs, ${memoryGb} GB; ${platform()} ${release()} ${arch()}; Node ${process.version}`;
}

/** The packages that are measured, as package.json pins them. */
export function packageVersions(): Package[] {
  const { dependencies } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  return Object.entries(dependencies).map(([name, version]) => ({ name, version }));
}

export const listOf = (packages: readonly Package[]) =>
  packages.map(({ name, version }) => `${name} ${version}`).join(', ');

/** The commit that is measured, and whether files besides the results differ; undefined where there is no repository. */
export async function commit(): Promise<string | undefined> {
  const git = async (...args: string[]) =>
    (await promisify(execFile)('git', args, { cwd: import.meta.dirname })).stdout.trim();
  try {
    const changes = await git('status', '--porcelain', '--', ':(top)', ':(top,exclude)bench/results');
    return `${await git('rev-parse', '--short', 'HEAD')}${changes === '' ? '' : ', modified'}`;
  } catch {
    return undefined;
  }
}
