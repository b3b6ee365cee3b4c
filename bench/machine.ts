/** What the figures were measured on and with. */
import { readFileSync } from 'node:fs';
import { arch, availableParallelism, cpus, platform, release, totalmem } from 'node:os';

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
