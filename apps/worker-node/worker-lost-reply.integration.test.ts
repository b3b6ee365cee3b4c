import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { postgresExecutionStore } from '../../libs/db/postgres-execution-store.ts';
import { openLossyPostgres } from '../../libs/testing/lossy-postgres.ts';
import type { LossyPostgres } from '../../libs/testing/lossy-postgres.ts';
import { LEASE_MS, Workbench } from './testing/worker-under-test.ts';

const PARTITIONS = [0, 1, 2, 3];

/** Too long to come with the claim. */
const PAYLOAD = 'x'.repeat(5_000);

describe('a worker whose connection is cut in place of a reply', () => {
  let bench: Workbench;
  let network: LossyPostgres;
  let starts: string[];
  beforeEach(async () => {
    bench = await Workbench.open(PARTITIONS.length);
    network = await openLossyPostgres(bench.url);
    starts = [];
  });
  afterEach(async () => {
    await bench.stopWorkers();
    await network.close();
    await bench.close();
  });

  const startWorker = (epoch = 1) =>
    bench.startWorker({
      id: 'w1',
      partitions: PARTITIONS,
      epoch,
      store: postgresExecutionStore({ db: network.pool }),
      handler: (_, { id, attempt }) => {
        starts.push(`${id}/${attempt}`);
        return Promise.resolve();
      },
    });

  it.each(['peek-due', 'claim-tasks', 'task-payloads', 'finish-tasks', 'running-tasks'])(
    '%s: every task is started once, and ends at its first attempt',
    async (statement) => {
      await startWorker();
      await bench.ended((await bench.submit('warm')).id);
      const lost = network.loseReplyTo(statement);
      const tasks = await Promise.all(
        Array.from({ length: 8 }, (_, i) => bench.submit(`task-${i}`, { payload: PAYLOAD })),
      );
      await lost;
      for (const { id } of tasks) {
        expect(await bench.ended(id)).toMatchObject({ status: 'COMPLETED', attempt: 1, failures: 0 });
        expect(starts.filter((start) => start.startsWith(`${id}/`))).toEqual([`${id}/1`]);
      }
    },
  );

  it('recover-tasks: what a dead worker ran is charged one failure, and started once more', async () => {
    const grants = PARTITIONS.map((partition) => ({ partition, epoch: 1 }));
    const dead = { workerId: 'w0', incarnation: 'i0' };
    await bench.ownership.renew('w0', ['i0'], LEASE_MS);
    await bench.ownership.acquire({ ...dead, grants, lockTimeoutMs: 1_000 });
    const { id } = await bench.submit('orphan');
    await bench.execution.claim({
      claimId: '00000000-0000-4000-8000-000000000000',
      workerId: 'w0',
      held: grants.map((grant) => ({ ...grant, incarnation: 'i0' })),
      limit: 10,
    });
    const { setHeld, incarnation } = await startWorker(2);
    await bench.renewedForLong('w1', incarnation);
    // Owning nothing it recovers nothing: the first recovery after that is the one that matters.
    setHeld([]);
    await bench.ownership.renew('w0', ['i0'], 1);
    const lost = network.loseReplyTo('recover-tasks');
    setHeld(PARTITIONS.map((partition) => ({ partition, epoch: 2, incarnation })));
    await lost;
    expect(await bench.ended(id)).toMatchObject({ status: 'COMPLETED', attempt: 2, failures: 1 });
    expect(starts).toEqual([`${id}/2`]);
  });
});
