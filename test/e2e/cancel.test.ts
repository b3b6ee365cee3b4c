import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { ClusterUnderTest } from './cluster-under-test.ts';

const ROUNDS = 20;
const MEDIAN_MS = 100;

describe('cancelling what runs, in an idle cluster', () => {
  let cluster: ClusterUnderTest;
  beforeAll(async () => {
    cluster = await ClusterUnderTest.start({ workers: 2 });
  });
  afterAll(() => cluster.stop());

  const abortOf = (id: number) =>
    [...cluster.apps.values()]
      .flatMap(({ lines }) => lines)
      .find(({ msg, fields }) => msg === 'Aborting event' && fields['taskId'] === id);

  it.each([
    ['cancel', (id: number) => cluster.request(`/tasks/${id}/cancel`, { method: 'POST' })],
    ['delete', (id: number) => cluster.request(`/tasks/${id}`, { method: 'DELETE' })],
  ])(`reaches its handler's signal within ${MEDIAN_MS} ms: %s`, async (_, end) => {
    const tookMs: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const { id } = await cluster.submit({ name: 'demo', payload: { sleepMs: 60_000 } });
      await eventually('it runs', () => cluster.startsOf(id).length === 1, { withinMs: 10_000 });
      const askedMs = Date.now();
      expect((await end(id)).status).toBe(202);
      const aborted = await eventually('its handler is told', () => abortOf(id), {
        withinMs: 5_000,
        everyMs: 5,
      });
      tookMs.push(aborted.timeMs - askedMs);
    }
    const median = tookMs.sort((a, b) => a - b)[ROUNDS / 2] ?? Infinity;
    console.log(`median ${median} ms, at most ${tookMs.at(-1)} ms`);
    expect(median).toBeLessThan(MEDIAN_MS);
  });
});
