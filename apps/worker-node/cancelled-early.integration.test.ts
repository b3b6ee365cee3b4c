import { expect, it } from 'vitest';
import { deferred } from '../../libs/testing/deferred.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import { Workbench } from './testing/worker-under-test.ts';

/** Too long to come with the claim. */
const PAYLOAD = 'x'.repeat(5_000);

it('an attempt that is cancelled while its payload is read ends at once, and is never started', async () => {
  const bench = await Workbench.open(4);
  try {
    const started: number[] = [];
    const goesOn = deferred<true>();
    const read = deferred<true>();
    await bench.startWorker({
      ...{ id: 'w1', partitions: [0, 1, 2, 3] },
      store: {
        ...bench.execution,
        async payloads(attempts) {
          const payloads = await bench.execution.payloads(attempts);
          await goesOn.promise;
          read.resolve(true);
          return payloads;
        },
      },
      handler: (_, { id }) => {
        started.push(id);
        return Promise.resolve();
      },
    });
    const { id } = await bench.submit('x', { payload: PAYLOAD });
    const running = async () => (await bench.tasks.get(id))?.status === 'RUNNING';
    await eventually('it is claimed', running, { withinMs: 5_000 });
    expect(await bench.tasks.cancel(id)).toBe('cancelling');
    expect(await bench.ended(id)).toMatchObject({ status: 'CANCELLED', attempt: 1, failures: 0 });
    goesOn.resolve(true);
    await read.promise;
    const { id: next } = await bench.submit('y');
    expect(await bench.ended(next)).toMatchObject({ status: 'COMPLETED' });
    expect(started).toEqual([next]);
  } finally {
    await bench.close();
  }
});
