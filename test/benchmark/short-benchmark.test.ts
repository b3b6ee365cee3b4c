/**
 * The benchmark in short, against raw SQL in the same run: that the project has become far slower than when the results in
 * bench/results were recorded. Only ratios are compared, and of each the best round: this is no measurement.
 */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { install } from '../../bench/install.ts';
import type { ScenarioResult } from '../../bench/results.ts';
import { quantile, ratios } from '../../bench/statistics.ts';

const ROOT = new URL('../../', import.meta.url);
const SIZES = ['--rounds', '2', '--tasks', '20000', '--seconds', '1', '--samples', '60'];
const INSTALL_DEADLINE_MS = 300_000;
const DEADLINE_MS = 300_000;
/** It stops all of its processes first. */
const STOP_DEADLINE_MS = 60_000;

/** A rate may be this part of what it was in comparison, a latency so many times as long. */
const SLOWER = 0.5;
const LATER = 3;

const installing = new AbortController();
let benchmark: ChildProcess | undefined;

beforeAll(() => install(console.log, installing.signal), INSTALL_DEADLINE_MS);

beforeAll(async () => {
  const args = [
    'bin/run.mjs',
    'bench/main.ts',
    'drain',
    'submit',
    'latency',
    ...SIZES,
    '--only',
    'project,raw-sql',
  ];
  benchmark = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
  const [code] = (await once(benchmark, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`the benchmark ended with ${code ?? 'a signal'}`);
}, DEADLINE_MS);

/** Nothing is left running where a deadline has passed. */
afterAll(async () => {
  installing.abort();
  if (benchmark?.exitCode !== null || benchmark.signalCode !== null) return;
  const exited = once(benchmark, 'exit');
  benchmark.kill('SIGTERM');
  await exited;
}, STOP_DEADLINE_MS);

/** The project's ratios to raw SQL, one a round. */
async function measured(directory: string, scenario: string, measure: string): Promise<number[]> {
  const file = new URL(`bench/results/${directory}${scenario}.json`, ROOT);
  const { subjects } = JSON.parse(await readFile(file, 'utf8')) as ScenarioResult;
  const [project = [], raw = []] = ['project', 'raw-sql'].map(
    (name) => subjects.find((subject) => subject.name === name)?.values[measure],
  );
  return ratios(project, raw);
}

it.each([
  ['drain', 'tasks/s'],
  ['submit', 'tasks/s, 32 at a time'],
])('%s is no slower by half than it was, beside raw SQL', async (scenario, measure) => {
  const recorded = quantile(await measured('', scenario, measure), 0.5);
  const best = Math.max(...(await measured('trial/', scenario, measure)));
  console.log(`${scenario}: ${best.toFixed(2)} of raw SQL, recorded ${recorded.toFixed(2)}`);
  expect(best / recorded).toBeGreaterThan(SLOWER);
});

it('a task starts no three times as late as it did, beside raw SQL', async () => {
  const recorded = quantile(await measured('', 'latency', 'p50 ms'), 0.5);
  const best = Math.min(...(await measured('trial/', 'latency', 'p50 ms')));
  console.log(`latency: ${best.toFixed(2)} of raw SQL's, recorded ${recorded.toFixed(2)}`);
  expect(best / recorded).toBeLessThan(LATER);
});
