import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ExecutionStore } from '../../libs/db/stores.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import { Workbench } from './testing/worker-under-test.ts';

const KEEP_MS = 300;
const GONE = { withinMs: 10_000 };

let bench: Workbench;
beforeEach(async () => {
  bench = await Workbench.open(4);
});
afterEach(() => bench.close());

const gone = (id: number) =>
  eventually(`task ${id} is gone`, async () => (await bench.tasks.get(id)) === null, GONE);

it('a worker removes what ended long ago, and keeps what waits and what runs', async () => {
  let release = () => {};
  const { said } = await bench.startWorker({
    id: 'w1',
    partitions: [0, 1, 2, 3],
    keepMs: KEEP_MS,
    handlerFor: (name) => ({
      run: () => (name === 'long' ? new Promise<void>((resolve) => (release = resolve)) : Promise.resolve()),
    }),
  });
  const later = await bench.submit('later', { delayMs: 3_600_000 });
  const long = await bench.submit('long');
  const cancelled = await bench.submit('cancelled', { delayMs: 3_600_000 });
  await bench.tasks.cancel(cancelled.id);
  const short = await bench.submit('short');
  for (const { id } of [short, cancelled]) await gone(id);
  await eventually('it says so', () => said.includes('Removed old events'), GONE);
  expect(await bench.tasks.get(later.id)).toMatchObject({ status: 'PENDING' });
  expect(await bench.tasks.get(long.id)).toMatchObject({ status: 'RUNNING' });
  release();
  await gone(long.id);
  expect(await bench.tasks.get(later.id)).toMatchObject({ status: 'PENDING' });
});

it('that is for the owner of one partition to do', async () => {
  let calls = 0;
  const store: ExecutionStore = {
    ...bench.execution,
    removeFinished: (request) => {
      calls += 1;
      return bench.execution.removeFinished(request);
    },
  };
  await bench.startWorker({ id: 'w1', partitions: [1, 2, 3], keepMs: KEEP_MS, store });
  const { id } = await bench.ended((await bench.submitTo(1)).id);
  await bench.startWorker({ id: 'w2', partitions: [0], keepMs: KEEP_MS });
  await gone(id);
  expect(calls).toBe(0);
});
