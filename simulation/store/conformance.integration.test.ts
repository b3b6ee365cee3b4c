/** The simulated Postgres does what the real one does: the same interleavings, statement by statement, on both. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DatabaseUnderTest } from '../../libs/testing/database-under-test.ts';
import { randomRun } from './conformance/random-script.ts';
import { RealSide } from './conformance/real-side.ts';
import type { Line, Side, Step, World } from './conformance/script.ts';
import { SCRIPTS } from './conformance/scripts.ts';
import { SimulatedSide } from './conformance/simulated-side.ts';

/** CONFORMANCE_SEEDS=from-to runs others, and more. */
const [FROM, TO] = (process.env['CONFORMANCE_SEEDS'] ?? '1-40').split('-').map(Number) as [number, number];
const STEPS = 15;

async function play(side: Side, world: World, steps: readonly Step[], expected?: readonly Line[]) {
  await side.prepare(world);
  const lines: Line[] = [];
  for (const [index, step] of steps.entries()) {
    lines.push(await side.perform(step));
    // What comes after a difference means nothing.
    if (expected !== undefined) expect(lines).toEqual(expected.slice(0, index + 1));
  }
  return { lines, ending: await side.end() };
}

describe('the simulated Postgres', () => {
  let database: DatabaseUnderTest;
  let real: RealSide;
  beforeAll(async () => {
    database = await DatabaseUnderTest.start({ partitions: 2 });
    real = new RealSide(database);
  });
  afterAll(async () => {
    await real.close();
    await database.close();
  });

  it.each(SCRIPTS)('agrees with the real one: $name', async ({ world, steps, waiting }) => {
    const simulated = await play(new SimulatedSide(), world, steps);
    try {
      expect(await play(real, world, steps, simulated.lines)).toEqual(simulated);
    } finally {
      await real.end();
    }
    const waited = new Set(simulated.lines.flatMap((line) => line.waiting));
    expect([...waited].sort()).toEqual(waiting.toSorted());
  });

  it(
    `agrees with the real one in random interleavings, seeds ${FROM} to ${TO}`,
    { timeout: 60_000 + (TO - FROM) * 2_000 },
    async () => {
      for (let seed = FROM; seed <= TO; seed++) {
        const { world, steps, lines, ending } = await randomRun(seed, STEPS);
        try {
          const played = await play(real, world, steps, lines);
          expect(played.ending).toEqual(ending);
        } catch (error) {
          await real.end();
          throw new Error(`seed ${seed}: ${JSON.stringify(world)}\n${(error as Error).message}`, {
            cause: error,
          });
        }
      }
    },
  );
});
