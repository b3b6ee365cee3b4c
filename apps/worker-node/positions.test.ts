import { describe, expect, it } from 'vitest';
import { Positions } from './positions.ts';

type Task = ReturnType<typeof task>;

const task = (partition: number, dueAtMs: number, id: number, priority = 0) => ({
  ...{ partition, dueAtMs, id, priority },
});

const claimed = (tasks: readonly Task[], oldestRecord = 1) => {
  const held = [...new Set(tasks.map(({ partition }) => partition))];
  return { tasks, held, oldestRecords: held.map(() => oldestRecord) };
};

describe('positions', () => {
  it('are where the last claim got to, partition by partition', () => {
    const positions = new Positions();
    positions.claimed(claimed([task(0, 10, 1), task(1, 10, 2), task(0, 20, 3)]));
    expect(positions.of(0)).toEqual({ dueAtMs: 20, id: 3 });
    expect(positions.of(1)).toEqual({ dueAtMs: 10, id: 2 });
    expect(positions.of(2)).toBeUndefined();
  });

  it('are none of what has a priority', () => {
    const positions = new Positions();
    positions.claimed(claimed([task(0, 30, 4, 9), task(0, 10, 1), task(1, 10, 2, 1)]));
    expect(positions.of(0)).toEqual({ dueAtMs: 10, id: 1 });
    expect(positions.of(1)).toBeUndefined();
  });

  it('go back to before what may be waiting, and never forward', () => {
    const positions = new Positions();
    positions.claimed(claimed([task(0, 20, 3)]));
    positions.back(0, 21);
    expect(positions.of(0)).toEqual({ dueAtMs: 20, id: 3 });
    positions.back(0, 20);
    expect(positions.of(0)).toEqual({ dueAtMs: 20, id: 0 });
    positions.back(0, 15);
    expect(positions.of(0)).toEqual({ dueAtMs: 15, id: 0 });
    positions.back(1, 15);
    expect(positions.of(1)).toBeUndefined();
  });

  it('stay back where something was committed while a claim was under way, which may not have seen it', () => {
    const positions = new Positions();
    positions.looking([0, 1]);
    positions.back(0, 15);
    positions.back(0, 18);
    positions.claimed(claimed([task(0, 20, 3), task(1, 20, 4)]));
    expect(positions.of(0)).toEqual({ dueAtMs: 15, id: 0 });
    expect(positions.of(1)).toEqual({ dueAtMs: 20, id: 4 });
    positions.back(1, 17);
    positions.looking([0]);
    positions.claimed(claimed([task(0, 21, 5)]));
    expect(positions.of(0)).toEqual({ dueAtMs: 21, id: 5 });
  });

  it('begin where a look has found the first, or before, where something was committed during that look', () => {
    const positions = new Positions();
    positions.looking([0, 1, 2]);
    positions.back(1, 30);
    positions.drop(2);
    for (const partition of [0, 1, 2]) positions.found(partition, 50);
    expect(positions.of(0)).toEqual({ dueAtMs: 50, id: 0 });
    expect(positions.of(1)).toEqual({ dueAtMs: 30, id: 0 });
    expect(positions.of(2)).toBeUndefined();
  });

  it('get past what a look has passed, but not past what was committed during that look', () => {
    const positions = new Positions();
    positions.claimed(claimed([task(0, 20, 3), task(1, 20, 4), task(2, 60, 5)]));
    positions.looking([0, 1, 2]);
    positions.back(1, 30);
    for (const partition of [0, 1, 2]) positions.found(partition, 50);
    expect(positions.of(0)).toEqual({ dueAtMs: 50, id: 0 });
    expect(positions.of(1)).toEqual({ dueAtMs: 30, id: 0 });
    expect(positions.of(2)).toEqual({ dueAtMs: 60, id: 5 });
  });

  it('go back to the beginning', () => {
    const positions = new Positions();
    positions.claimed(claimed([task(0, 20, 3), task(1, 20, 4), task(2, 20, 5)], 17));
    positions.back(0, -Infinity);
    positions.drop(1);
    positions.begin(2);
    expect(positions.beyond(0)).toEqual({ partition: 0, after: undefined, oldestRecord: 17 });
    expect(positions.beyond(1)).toEqual({ partition: 1, after: undefined, oldestRecord: 17 });
    expect(positions.beyond(2)).toEqual({ partition: 2, after: undefined, oldestRecord: undefined });
  });
});
