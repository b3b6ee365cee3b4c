import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { startPrivatePostgres } from '../../libs/testing/postgres.ts';
import type { PrivatePostgres } from '../../libs/testing/postgres.ts';
import { ClusterUnderTest, SESSION_TIMEOUT_MS } from '../e2e/cluster-under-test.ts';

const OUTAGE_MS = 3 * SESSION_TIMEOUT_MS;
/** Longer than the outage and the lease after it: whoever is to be recovered wrongly has the time for it. */
const RUNS_MS = OUTAGE_MS + SESSION_TIMEOUT_MS + 2_000;
const WORKERS = ['worker-1', 'worker-2'];

describe('Postgres is away for three times the lease', () => {
  let postgres: PrivatePostgres;
  let cluster: ClusterUnderTest;
  beforeAll(async () => {
    postgres = await startPrivatePostgres();
    cluster = await ClusterUnderTest.start({ workers: 2, databaseUrl: postgres.url });
  });
  afterAll(async () => {
    await cluster.stop();
    await postgres.stop();
  });

  const linesOf = (name: string) => cluster.app(name).lines.map(({ msg }) => msg);

  it('and what ran before ends at its first attempt, started once; what comes after is handled at once', async () => {
    const before = (await cluster.view()).partitions;
    const long: number[] = [];
    for (const worker of WORKERS) {
      for (let i = 0; i < 4; i += 1) {
        const task = await cluster.submitTo(worker, { name: 'demo', payload: { sleepMs: RUNS_MS } });
        long.push(task.id);
      }
    }
    await eventually('they all run', () => long.every((id) => cluster.startsOf(id).length === 1), {
      withinMs: 5_000,
    });

    await postgres.halt();
    const haltedAtMs = Date.now();
    expect((await cluster.post({ name: 'refused' })).status).toBe(503);
    await eventually('every lease has run out long ago', () => Date.now() - haltedAtMs >= OUTAGE_MS, {
      withinMs: OUTAGE_MS + 5_000,
    });
    await postgres.resume();
    const backAtMs = Date.now();

    for (const worker of WORKERS) {
      const submit = () => cluster.submitTo(worker, { name: 'after the outage' }).catch(() => undefined);
      const { id } = await eventually('it is accepted', submit, { withinMs: 5_000 });
      expect(await cluster.ended(id, 5_000)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    }
    const handledAfterMs = Date.now() - backAtMs;
    expect(handledAfterMs).toBeLessThan(SESSION_TIMEOUT_MS);
    const running = await Promise.all(long.map((id) => cluster.task(id)));
    expect(running.map(({ status }) => status)).toEqual(long.map(() => 'RUNNING'));

    for (const id of long) {
      expect(await cluster.ended(id, RUNS_MS)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    }
    console.log(`a submission to each worker handled within ${handledAfterMs} ms of the database's return`);
    for (const id of long) expect(cluster.startsOf(id)).toHaveLength(1);
    expect((await cluster.view()).partitions).toEqual(before);
    for (const worker of WORKERS) {
      expect(linesOf(worker).filter((msg) => /^(Recovered|joined the cluster)/.test(msg))).toEqual([
        'joined the cluster',
      ]);
      expect(cluster.app(worker).running).toBe(true);
    }
    cluster.expectNoDoubleStarts();
  });
});
