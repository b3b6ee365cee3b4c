import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Clock } from '../../libs/core/clock.ts';
import type { TaskId } from '../../libs/core/task.ts';
import type { ExecutionStore } from '../../libs/db/stores.ts';
import { systemClock } from '../../libs/runtime/system.ts';
import { deferred } from '../../libs/testing/deferred.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import { holdingClaimReplies, Workbench } from './testing/worker-under-test.ts';

/** Longer than a reply may have taken for its payloads to be taken as they came. */
const LATE_MS = 600;

describe('the reply of a claim, read long after it was made', () => {
  let bench: Workbench;
  let starts: string[];
  let payloadsRead: TaskId[];
  /** By how much the worker's clock is ahead of the test's. */
  let aheadMs: number;
  const clock: Clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + aheadMs };
  beforeEach(async () => {
    bench = await Workbench.open(4);
    starts = [];
    payloadsRead = [];
    aheadMs = 0;
  });
  afterEach(() => bench.close());

  async function startWorker(reply: Promise<unknown>): Promise<void> {
    const held = holdingClaimReplies(bench.execution, reply);
    const store: ExecutionStore = {
      ...held,
      payloads: (attempts) => {
        payloadsRead.push(...attempts.map(({ id }) => id));
        return held.payloads(attempts);
      },
    };
    await bench.startWorker({
      ...{ id: 'w1', partitions: [0, 1, 2, 3], store, clock },
      handler: (_, { id, attempt }) => {
        starts.push(`${id}/${attempt}`);
        return Promise.resolve();
      },
    });
  }

  async function claimed(): Promise<TaskId> {
    const { id } = await bench.submit('claimed');
    await eventually('it is claimed', async () => (await bench.tasks.get(id))?.status === 'RUNNING', {
      withinMs: 3_000,
    });
    return id;
  }

  it('starts nothing that was taken away meanwhile', async () => {
    const reply = deferred<true>();
    await startWorker(reply.promise);
    const id = await claimed();
    // What a recovery does, by a worker that owns the partition by then.
    await bench.query('DELETE FROM claim_record');
    await bench.query('UPDATE task SET attempt = 1, failures = 1');
    aheadMs = LATE_MS;
    reply.resolve(true);
    expect(await bench.ended(id)).toMatchObject({ status: 'COMPLETED', attempt: 2 });
    expect(starts).toEqual([`${id}/2`]);
    expect(payloadsRead).toContain(id);
  });

  it('is as good as another where nothing was', async () => {
    const reply = deferred<true>();
    await startWorker(reply.promise);
    const id = await claimed();
    aheadMs = LATE_MS;
    reply.resolve(true);
    expect(await bench.ended(id)).toMatchObject({ status: 'COMPLETED', attempt: 1, failures: 0 });
    expect(starts).toEqual([`${id}/1`]);
    expect(payloadsRead).toEqual([id]);
  });

  it('is taken as it came where it came soon', async () => {
    await startWorker(Promise.resolve());
    const { id } = await bench.submit('soon');
    expect(await bench.ended(id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    expect(payloadsRead).toEqual([]);
  });
});
