import { describe, expect, it } from 'vitest';
import { backoffMs } from './backoff.ts';
import { afterFailure, MAX_RETRIES, RETRY_BACKOFF } from './task.ts';

const random = (value: number) => ({ next: () => value, uuid: () => '' });

describe('a failed attempt', () => {
  it('is retried five times, and the sixth failure is the last', () => {
    const ends = Array.from({ length: 7 }, (_, failures) => afterFailure(failures, random(0.5)).status);
    expect(MAX_RETRIES).toBe(5);
    expect(ends).toEqual(['PENDING', 'PENDING', 'PENDING', 'PENDING', 'PENDING', 'FAILED', 'FAILED']);
  });

  it('waits longer from one retry to the next, anywhere up to the bound', () => {
    const longest = [0, 1, 2, 3, 4].map((failures) => afterFailure(failures, random(0.999_999)));
    expect(longest.map((next) => (next.status === 'PENDING' ? next.delayMs : -1))).toEqual([
      999, 1_999, 3_999, 7_999, 15_999,
    ]);
    expect(afterFailure(3, random(0))).toEqual({ status: 'PENDING', delayMs: 0 });
  });
});

describe('the backoff', () => {
  it('never exceeds its maximum, however often it is retried', () => {
    for (const retry of [10, 60, 2_000]) {
      expect(backoffMs(retry, random(0.999_999_999), RETRY_BACKOFF)).toBe(299_999);
    }
  });
});
