/**
 * The simulation notices every safeguard that is taken away. docs/simulation.md lists the first seeds that did; they are
 * tried first, since to come to them from 1 takes minutes.
 */
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { invariant } from '../../libs/core/invariant.ts';
import { MUTANTS } from '../../simulation/mutants.ts';
import type { Mutant } from '../../simulation/mutants.ts';
import { hunt, runMutated } from '../../simulation/mutation.ts';

const TIMEOUT_MS = 180_000;

/** The seed that noticed it first when the table in docs/simulation.md was written. */
async function firstSeed({ name }: Mutant): Promise<number> {
  const table = await readFile(new URL('../../docs/simulation.md', import.meta.url), 'utf8');
  const line = table.split('\n').find((text) => text.startsWith(`| ${name} `));
  const seed = Number(line?.split('|')[2]);
  invariant(Number.isInteger(seed), `docs/simulation.md does not list "${name}"`);
  return seed;
}

describe.concurrent('the simulation notices', { timeout: TIMEOUT_MS }, () => {
  it.each(MUTANTS)('$name', async (mutant) => {
    const stop = AbortSignal.timeout(TIMEOUT_MS - 10_000);
    const soon = await hunt(mutant, {
      from: await firstSeed(mutant),
      seeds: 4,
      threads: 1,
      steps: 300,
      stop,
    });
    const caught = soon === 'SURVIVED' ? await hunt(mutant, { seeds: 1_500, steps: 300, stop }) : soon;
    expect(caught, `${mutant.safeguard}: its loss was not noticed`).toHaveProperty('seed');
  });
});

it('a seed that fails tells its story', { timeout: TIMEOUT_MS }, async () => {
  const mutant = MUTANTS.find(({ name }) => name === 'claim takes what is not yet due');
  invariant(mutant !== undefined, 'no such mutant');
  const stop = AbortSignal.timeout(TIMEOUT_MS - 10_000);
  const seed = await firstSeed(mutant);
  const story = await runMutated(mutant, ['--seed', `${seed}`], stop);
  expect(story).toMatch(new RegExp(`^seed ${seed}: P4: task \\d+, due at \\d+, was claimed at \\d+$`, 'm'));
  const [, left] = /^shortest schedule found that breaks it, (\d+) of 300 steps:$/m.exec(story) ?? [];
  expect(Number(left)).toBeLessThan(30);
  expect(story).toMatch(/"kind":"submit"/);
  expect(story).toMatch(/postgres +worker-\d: claim-tasks committed\n.* \* +BROKEN P4: /);
  expect(story).toContain(`again: npm run sim -- --seed ${seed} --steps 300`);
});
