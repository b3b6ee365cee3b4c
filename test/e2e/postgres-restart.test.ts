import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { startPrivatePostgres } from '../../libs/testing/postgres.ts';
import type { PrivatePostgres } from '../../libs/testing/postgres.ts';
import { ClusterUnderTest } from './cluster-under-test.ts';

describe('Postgres is restarted under load', () => {
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

  it('and nothing acknowledged is lost, nothing running is started again, no process exits', async () => {
    const long = await Promise.all(
      Array.from({ length: 8 }, () => cluster.submit({ name: 'demo', payload: { sleepMs: 9_000 } })),
    );
    await eventually('they all run', () => long.every(({ id }) => cluster.startsOf(id).length === 1), {
      withinMs: 5_000,
    });

    const acknowledged: number[] = [];
    const refusals: { status: number; retryAfter: string | null; type: string | null }[] = [];
    const submitting = new AbortController();
    const { signal } = submitting;
    const submitter = (async () => {
      while (!signal.aborted) {
        const response = await cluster.post({ name: 'under-load' });
        if (response.status === 201) acknowledged.push(((await response.json()) as { id: number }).id);
        else {
          await response.arrayBuffer();
          refusals.push({
            status: response.status,
            retryAfter: response.headers.get('retry-after'),
            type: response.headers.get('content-type'),
          });
        }
      }
    })();
    await eventually('load is on', () => acknowledged.length > 50, { withinMs: 10_000 });
    await postgres.halt();
    await eventually('submissions are refused meanwhile', () => refusals.length > 20, { withinMs: 20_000 });
    const before = acknowledged.length;
    await postgres.resume();
    await eventually('submissions are accepted again', () => acknowledged.length > before + 50, {
      withinMs: 20_000,
    });
    submitting.abort();
    await submitter;

    for (const { status, retryAfter, type } of refusals) {
      expect(status).toBe(503);
      expect(Number(retryAfter)).toBeGreaterThan(0);
      expect(type).toContain('application/problem+json');
    }
    for (const id of [...acknowledged, ...long.map((task) => task.id)]) {
      expect(await cluster.ended(id, 30_000)).toMatchObject({ status: 'COMPLETED' });
    }
    for (const { id } of long) expect(cluster.startsOf(id)).toHaveLength(1);
    for (const app of ['api', 'controller-1', 'worker-1', 'worker-2'])
      expect(cluster.app(app).running).toBe(true);
    cluster.expectNoDoubleStarts();
  });
});
