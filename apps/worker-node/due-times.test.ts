import { describe, expect, it } from 'vitest';
import { DueTimes } from './due-times.ts';

describe('the due times of the partitions a worker owns', () => {
  it('knows nothing of a new partition until it has been read', () => {
    const due = new DueTimes();
    due.forget(7);
    expect(due.hasUnknown).toBe(true);
    expect(due.takeUnknown(Infinity)).toEqual([7]);
    expect(due.hasUnknown).toBe(false);
    expect(due.nextMs()).toBe(Infinity);
  });

  it('names some of those that have to be read, one that comes anew as the last', () => {
    const due = new DueTimes();
    for (const partition of [7, 8, 9]) due.forget(partition);
    expect(due.takeUnknown(2)).toEqual([7, 8]);
    due.forget(7);
    expect(due.takeUnknown(2)).toEqual([9, 7]);
    expect(due.hasUnknown).toBe(false);
  });

  it('waits for the earliest time it was told of', () => {
    const due = new DueTimes();
    due.expect(1, 2_000);
    due.expect(2, 1_000);
    due.expect(1, 3_000);
    expect(due.nextMs()).toBe(1_000);
    due.expect(1, 500);
    expect(due.nextMs()).toBe(500);
  });

  it('names what is due, the longest waiting first', () => {
    const due = new DueTimes();
    due.expect(1, 300);
    due.expect(2, 100);
    due.expect(3, 200);
    expect(due.dueAt(99)).toEqual([]);
    expect(due.dueAt(200)).toEqual([2, 3]);
  });

  it('forgets a time that a claim has used up, and drops a partition that has gone', () => {
    const due = new DueTimes();
    due.expect(1, 100);
    due.expect(2, 100);
    due.forget(1);
    due.drop(2);
    expect(due.dueAt(1_000)).toEqual([]);
    expect(due.takeUnknown(Infinity)).toEqual([1]);
  });
});
