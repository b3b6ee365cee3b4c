import { describe, expect, it } from 'vitest';
import { DueTimes } from './due-times.ts';

describe('the due times of the partitions a worker owns', () => {
  it('knows nothing of a new partition until it has been read', () => {
    const due = new DueTimes();
    due.forget(7);
    expect(due.hasUnknown).toBe(true);
    expect(due.takeUnknown()).toEqual([7]);
    expect(due.hasUnknown).toBe(false);
    expect(due.nextMs()).toBe(Infinity);
  });

  it('keeps to itself what it knows of a partition that is left aside, and that it knows nothing', () => {
    const aside = new Set([7, 9]);
    const due = new DueTimes((partition) => aside.has(partition));
    due.expect(7, 100);
    due.expect(8, 200);
    due.forget(9);
    expect([due.dueAt(200), due.nextMs(), due.hasUnknown, due.takeUnknown()]).toEqual([[8], 200, false, []]);
    aside.clear();
    expect([due.dueAt(200), due.nextMs(), due.hasUnknown, due.takeUnknown()]).toEqual([
      [7, 8],
      100,
      true,
      [9],
    ]);
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
    expect(due.takeUnknown()).toEqual([1]);
  });
});
