import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { ClusterUnderTest } from './cluster-under-test.ts';

const ROUNDS = 50;

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

describe('an idle cluster', () => {
  let cluster: ClusterUnderTest;
  beforeAll(async () => {
    cluster = await ClusterUnderTest.start({ workers: 3 });
  });
  afterAll(() => cluster.stop());

  it('starts a task due in two seconds never early, and at most 50 ms late (median of 50)', async () => {
    const lateness: number[] = [];
    const tasks: { id: number; dueAtMs: number }[] = [];
    for (let i = 0; i < ROUNDS; i += 1) {
      const dueAtMs = Date.now() + 2_000 + i * 20;
      tasks.push({
        dueAtMs,
        id: (await cluster.submit({ name: 'due', scheduledTime: new Date(dueAtMs).toISOString() })).id,
      });
    }
    for (const { id, dueAtMs } of tasks) {
      const start = await eventually('it starts', () => cluster.startsOf(id)[0], { withinMs: 10_000 });
      lateness.push(start.timeMs - dueAtMs);
    }
    console.log(`due in 2 s: lateness median ${median(lateness)} ms, worst ${Math.max(...lateness)} ms`);
    expect(Math.min(...lateness)).toBeGreaterThanOrEqual(0);
    expect(median(lateness)).toBeLessThanOrEqual(50);
    cluster.expectNoDoubleStarts();
  });

  it('starts a task due now within 20 ms (median of 50)', async () => {
    const latencies: number[] = [];
    for (let i = 0; i < ROUNDS; i += 1) {
      const sentAtMs = Date.now();
      const { id } = await cluster.submit({ name: 'now' });
      const start = await eventually('it starts', () => cluster.startsOf(id)[0], {
        withinMs: 5_000,
        everyMs: 2,
      });
      latencies.push(start.timeMs - sentAtMs);
    }
    console.log(
      `due now: submit to start median ${median(latencies)} ms, worst ${Math.max(...latencies)} ms`,
    );
    expect(median(latencies)).toBeLessThanOrEqual(20);
    cluster.expectNoDoubleStarts();
  });
});
