/** Results on disk: a JSON file a scenario, and one page that shows them all. */
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import type { Package } from './machine.ts';
import type { Comparison, Measure } from './scenarios/scenario.ts';
import { page } from './page.ts';

export interface SubjectResult {
  readonly name: string;
  readonly setup: string;
  /** By measure, one value a round. */
  readonly values: Readonly<Record<string, readonly number[]>>;
}

export interface ScenarioResult {
  readonly scenario: string;
  readonly title: string;
  readonly method: string;
  readonly measuredAt: string;
  /** Unknown where there was no repository. */
  readonly commit?: string | undefined;
  readonly machine: string;
  readonly servers: readonly string[];
  readonly packages: readonly Package[];
  readonly rounds: number;
  readonly measures: readonly Measure[];
  readonly subjects: readonly SubjectResult[];
  readonly comparisons: readonly Comparison[];
}

/**
 * Writes `result` to `dir`, and the page of all results there.
 * @param order names of scenarios, as they are to stand on the page
 */
export async function record(dir: string, result: ScenarioResult, order: readonly string[]): Promise<void> {
  await mkdir(dir, { recursive: true });
  await write(join(dir, `${result.scenario}.json`), JSON.stringify(result));
  await writePage(dir, order);
}

export async function writePage(dir: string, order: readonly string[]): Promise<void> {
  const names = (await readdir(dir)).filter((name) => name.endsWith('.json'));
  const results = await Promise.all(
    names.map(async (name) => JSON.parse(await readFile(join(dir, name), 'utf8')) as ScenarioResult),
  );
  results.sort((a, b) => order.indexOf(a.scenario) - order.indexOf(b.scenario));
  await write(join(dir, 'README.md'), page(results));
}

/** In the house's format. */
async function write(path: string, text: string): Promise<void> {
  const config = await resolveConfig(path);
  await writeFile(path, await format(text, { ...config, filepath: path }));
}
