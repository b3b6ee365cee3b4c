import { expect, it } from 'vitest';
import type { Step } from './actions.ts';
import { shrink } from './shrink.ts';

const crash = (process: string): Step => ({ action: { kind: 'crash', process }, thenMs: 1 });

it('leaves of a schedule what its failure takes, and no more', async () => {
  const schedule = Array.from({ length: 100 }, (_, i) => crash(`worker-${i}`));
  let runs = 0;
  // Needs two crashes, in order, and at least one pause of a step between them.
  const fails = (candidate: readonly Step[]) => {
    runs += 1;
    const at = (process: string) =>
      candidate.findIndex(({ action }) => action?.kind === 'crash' && action.process === process);
    return Promise.resolve(at('worker-20') >= 0 && at('worker-70') > at('worker-20') + 1);
  };
  const shortest = await shrink(schedule, fails);
  expect(shortest).toHaveLength(3);
  expect(shortest[0]).toEqual(crash('worker-20'));
  expect(shortest[1]?.action).toBeUndefined();
  expect(shortest[2]).toEqual(crash('worker-70'));
  expect(runs).toBeLessThanOrEqual(300);
});

it('gives back a schedule that cannot be shortened', async () => {
  const schedule = [crash('worker-1')];
  expect(
    await shrink(schedule, (candidate) =>
      Promise.resolve(candidate.length === 1 && candidate[0]?.action !== undefined),
    ),
  ).toEqual(schedule);
});
