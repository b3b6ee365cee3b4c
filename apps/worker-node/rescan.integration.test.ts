import { afterEach, beforeEach, expect, it } from 'vitest';
import { StoreUnavailableError } from '../../libs/db/stores.ts';
import type { ExecutionStore } from '../../libs/db/stores.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import { Workbench } from './testing/worker-under-test.ts';

let bench: Workbench;
beforeEach(async () => {
  bench = await Workbench.open(4);
});
afterEach(() => bench.close());

it('a look through everything that takes longer than a statement may keeps nobody from claiming', async () => {
  let tooMuch = false;
  let refused = 0;
  const store: ExecutionStore = {
    ...bench.execution,
    peek: (partitions, horizonMs, own) => {
      if (!tooMuch || partitions.some(({ after }) => after !== undefined))
        return bench.execution.peek(partitions, horizonMs, own);
      refused += 1;
      return Promise.reject(new StoreUnavailableError('canceling statement due to statement timeout'));
    },
  };
  const { worker } = await bench.startWorker({ id: 'w1', partitions: [0, 1, 2, 3], store });
  // So that there is a position in each partition.
  for (const partition of [0, 1, 2, 3]) await bench.ended((await bench.submitTo(partition)).id);
  tooMuch = true;
  worker.expectWork('*', -Infinity);
  await eventually('it was tried', () => refused > 0, { withinMs: 3_000 });
  for (const partition of [0, 1, 2, 3]) {
    const { id } = await bench.submitTo(partition);
    expect(await bench.ended(id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
  }
  expect(refused).toBe(1);
});
