import { describe, expect, it } from 'vitest';
import { workerSpecs } from './decision.ts';
import { FlapDamping } from './flap-damping.ts';

const MINUTE_MS = 60_000;

describe('flap damping', () => {
  it('puts a worker in quarantine at the third loss in a row, and releases it by itself', () => {
    const damping = new FlapDamping();
    expect(damping.lost('a', 0)).toBe(false);
    expect(damping.lost('a', MINUTE_MS)).toBe(false);
    expect(damping.lost('a', 2 * MINUTE_MS)).toBe(true);
    const [[id, restMs] = []] = damping.quarantined(2 * MINUTE_MS);
    expect(id).toBe('a');
    expect(restMs).toBeGreaterThan(6 * MINUTE_MS);
    expect(restMs).toBeLessThan(8 * MINUTE_MS);
    expect(damping.quarantined(2 * MINUTE_MS + (restMs ?? 0) - 1).size).toBe(1);
    expect(damping.quarantined(2 * MINUTE_MS + (restMs ?? 0)).size).toBe(0);
  });

  it('forgives losses that are far apart', () => {
    const damping = new FlapDamping();
    for (let loss = 0; loss < 20; loss += 1) expect(damping.lost('a', loss * 5 * MINUTE_MS)).toBe(false);
  });

  it('keeps nobody longer than ten minutes after the last loss', () => {
    const damping = new FlapDamping();
    for (let loss = 0; loss < 50; loss += 1) damping.lost('a', loss);
    expect(damping.quarantined(50).get('a')).toBeLessThanOrEqual(10 * MINUTE_MS);
    expect(damping.quarantined(50 + 10 * MINUTE_MS).size).toBe(0);
  });
});

describe('a worker in quarantine', () => {
  const cluster = (ids: readonly string[]) => ({
    live: new Map(ids.map((id) => [id, 'i'])),
    selves: new Map(),
    wishes: new Map(),
    plan: { rev: 1, target: ['a', 'a', 'b', 'c'], epoch: [1, 1, 1, 1] },
    ages: [0, 0, 0, 0],
  });
  const limits = (ids: readonly string[], quarantined: Record<string, number>) =>
    Object.fromEntries(
      workerSpecs(cluster(ids), new Map(Object.entries(quarantined))).flatMap(({ id, maxPartitions }) =>
        maxPartitions === undefined ? [] : [[id, maxPartitions]],
      ),
    );

  it('keeps what is meant for it', () => {
    expect(limits(['a', 'b', 'c'], { a: 9 })).toEqual({ a: 2 });
  });

  it('is one of a third at most: those that have longest to stay', () => {
    const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    expect(limits(ids, { a: 1, b: 3, c: 2, d: 4 })).toEqual({ b: 1, d: 0 });
    expect(limits(['a', 'b'], { a: 1, b: 3 })).toEqual({});
  });
});
