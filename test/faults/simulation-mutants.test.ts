/** The simulation notices every safeguard that is taken away. docs/simulation.md lists the seeds it took. */
import { describe, expect, it } from 'vitest';
import { MUTANTS } from '../../simulation/mutants.ts';
import { hunt } from '../../simulation/mutation.ts';

describe('the simulation notices', () => {
  it.each(MUTANTS)('$name', async (mutant) => {
    const caught = await hunt(mutant, { seeds: 1_000, steps: 300 });
    expect(caught, `${mutant.safeguard}: its loss was not noticed`).toHaveProperty('seed');
  });
});
