import { describe, expect, it } from 'vitest';
import { backoffMs } from './backoff.ts';
import { afterFailure, afterLoss, DEFAULT_POLICY, jitterOf } from './task.ts';

const random = (value: number) => ({ next: () => value, uuid: () => '' });

describe('a failed attempt', () => {
  it('is retried four times, and the fifth failure is the last', () => {
    const ends = [0, 1, 2, 3, 4, 5].map((failures) => afterFailure(failures, null, random(0.5)).status);
    expect(ends).toEqual(['PENDING', 'PENDING', 'PENDING', 'PENDING', 'FAILED', 'FAILED']);
  });

  it('is retried as often as its task says, and as late', () => {
    const policy = { maxAttempts: 2, backoff: { baseMs: 10, maxMs: 50, factor: 3 } };
    expect(afterFailure(0, policy, random(0.5))).toEqual({ status: 'PENDING', delayMs: 5 });
    expect(afterFailure(1, policy, random(0.5))).toEqual({ status: 'FAILED' });
    expect(afterFailure(1, { ...policy, maxAttempts: 9 }, random(0.5))).toMatchObject({ delayMs: 15 });
    expect(afterFailure(2, { ...policy, maxAttempts: 9 }, random(0.5))).toMatchObject({ delayMs: 25 });
    expect(afterFailure(0, { maxAttempts: 1 }, random(0.5))).toEqual({ status: 'FAILED' });
  });

  it('by the loss of its worker is made good at once the first time', () => {
    expect(afterLoss(0, null, random(0.5))).toEqual({ status: 'PENDING', delayMs: 0 });
    expect(afterLoss(1, null, random(0.5))).toEqual({ status: 'PENDING', delayMs: 1_000 });
    expect(afterLoss(0, { maxAttempts: 1 }, random(0.5))).toEqual({ status: 'FAILED' });
  });

  it('waits longer from one retry to the next, anywhere up to the bound', () => {
    const longest = [0, 1, 2, 3].map((failures) => afterFailure(failures, null, random(0.999_999)));
    expect(longest.map((next) => (next.status === 'PENDING' ? next.delayMs : -1))).toEqual([
      999, 1_999, 3_999, 7_999,
    ]);
    expect(afterFailure(3, null, random(0))).toEqual({ status: 'PENDING', delayMs: 0 });
  });
});

describe('the backoff', () => {
  it('never exceeds its maximum, however often it is retried', () => {
    for (const retry of [10, 60, 2_000]) {
      expect(backoffMs(retry, random(0.999_999_999), DEFAULT_POLICY.backoff)).toBe(299_999);
    }
  });

  it('of many tasks at once is spread by one random number', () => {
    const shares = Array.from({ length: 100 }, (_, id) => jitterOf(0.3, id)).sort((a, b) => a - b);
    const gaps = shares.map((share, index) => share - (shares[index - 1] ?? 0));
    expect(shares[0]).toBeGreaterThanOrEqual(0);
    expect(shares.at(-1)).toBeLessThan(1);
    expect(Math.max(...gaps)).toBeLessThan(0.03);
  });
});
