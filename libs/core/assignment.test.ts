import { describe, expect, it } from 'vitest';
import { assign, describeMove } from './assignment.ts';
import type { Targets, WorkerSpec } from './assignment.ts';
import { InvariantError } from './invariant.ts';

const workers = (...ids: string[]) => ids.map((id) => ({ id }));
const numbered = (count: number) => workers(...Array.from({ length: count }, (_, i) => `w${i + 1}`));
const unassigned = (partitions: number): Targets => Array<null>(partitions).fill(null);
const balanced = (partitions: number, count: number): Targets =>
  assign(unassigned(partitions), numbered(count), { balance: true }).target;

/** Loads of the workers named, ascending. */
function loads(target: Targets, ids: readonly { id: string }[]): number[] {
  return ids.map(({ id }) => target.filter((t) => t === id).length).sort((a, b) => a - b);
}

function loadsById(target: Targets): Record<string, number> {
  const result: Record<string, number> = {};
  for (const id of target) if (id !== null) result[id] = (result[id] ?? 0) + 1;
  return result;
}

/** Targets under which each of the named holds as many as is said. */
function held(loads: Record<string, number>): Targets {
  return Object.entries(loads).flatMap(([id, count]) => Array<string>(count).fill(id));
}

function orphansOf(current: Targets, live: readonly { id: string }[]): number[] {
  return current.flatMap((id, partition) => (live.some((w) => w.id === id) ? [] : [partition]));
}

describe('the planner', () => {
  it('shares 64 partitions among three workers as 21, 21 and 22', () => {
    const { target, moves } = assign(unassigned(64), workers('a', 'b', 'c'), { balance: true });
    expect(loads(target, workers('a', 'b', 'c'))).toEqual([21, 21, 22]);
    expect(moves).toHaveLength(64);
    expect(new Set(moves.map((move) => move.reason))).toEqual(new Set(['UNASSIGNED']));
  });

  it('moves exactly floor(P/(W+1)) partitions to one more worker, all of them to it', () => {
    for (const [partitions, count] of [
      [64, 3],
      [1024, 50],
      [7, 9],
      [60, 3],
    ] as const) {
      const more = numbered(count + 1);
      const { target, moves } = assign(balanced(partitions, count), more, { balance: true });
      expect(moves).toHaveLength(Math.floor(partitions / (count + 1)));
      expect(moves.every(({ to, reason }) => to === `w${count + 1}` && reason === 'BALANCE')).toBe(true);
      expect((loads(target, more).at(-1) ?? 0) - (loads(target, more)[0] ?? 0)).toBeLessThanOrEqual(1);
    }
  });

  it('moves exactly the orphans of one worker fewer', () => {
    for (const [partitions, count] of [
      [64, 4],
      [1024, 50],
      [7, 3],
    ] as const) {
      const before = balanced(partitions, count);
      const { moves } = assign(before, numbered(count).slice(1), { balance: true });
      expect(moves.map((move) => move.partition)).toEqual(orphansOf(before, numbered(count).slice(1)));
      expect(moves.every(({ from, reason }) => from === 'w1' && reason === 'ORPHANED')).toBe(true);
    }
  });

  it('leaves everything as it is while no worker lives, so that one that returns finds its own', () => {
    const before = balanced(64, 3);
    expect(assign(before, [], { balance: true })).toEqual({ target: before, moves: [] });
    const { moves } = assign(before, workers('w2'), { balance: true });
    expect(moves.some((move) => move.from === 'w2')).toBe(false);
  });

  it('without balancing moves orphans only, each to the least loaded', () => {
    const current = ['a', 'a', 'a', 'b', 'gone', 'gone', null];
    const { target, moves } = assign(current, workers('a', 'b', 'c'), { balance: false });
    expect(moves.map(({ partition, reason }) => [partition, reason])).toEqual([
      [4, 'ORPHANED'],
      [5, 'ORPHANED'],
      [6, 'UNASSIGNED'],
    ]);
    expect(loads(target, workers('a', 'b', 'c'))).toEqual([2, 2, 3]);
  });

  it('passes by a worker that has more than its share, and gives by weight to those that have less', () => {
    const team = [{ id: 'a' }, { id: 'b' }, { id: 'c', weight: 3 }];
    const { target } = assign(held({ a: 10, gone: 4 }), team, { balance: false });
    expect(loadsById(target)).toEqual({ a: 10, b: 1, c: 3 });
  });

  it('and each to the least loaded for its weight, so that balancing later leaves it there', () => {
    const team = [{ id: 'a' }, { id: 'b', weight: 3 }, { id: 'c', maxPartitions: 1 }];
    const { target } = assign(held({ a: 2, b: 2, gone: 5 }), team, { balance: false });
    expect(loadsById(target)).toEqual({ a: 2, b: 6, c: 1 });
    expect(assign(target, team, { balance: true }).moves).toEqual([]);
  });
});

describe('limits', () => {
  it('leave partitions without any worker rather than break, and those that had one are placed first', () => {
    const team = [{ id: 'a', maxPartitions: 2 }];
    const { target, moves } = assign([null, 'gone', 'a', 'gone'], team, { balance: true });
    expect(target).toEqual([null, 'a', 'a', null]);
    expect(moves).toEqual([
      { partition: 1, from: 'gone', to: 'a', reason: 'ORPHANED' },
      { partition: 3, from: 'gone', to: null, reason: 'ORPHANED' },
    ]);
  });

  it('that were lowered take away at once, balancing or not', () => {
    const team = [{ id: 'a', maxPartitions: 1 }, { id: 'b' }];
    for (const balance of [true, false]) {
      const { target, moves } = assign(held({ a: 3, b: 1 }), team, { balance });
      expect(loadsById(target)).toEqual({ a: 1, b: 3 });
      expect(moves.map(({ reason }) => reason)).toEqual(['LIMIT', 'LIMIT']);
    }
  });
});

describe('wishes and tags', () => {
  it('a draining worker gives up all it has, and nothing else moves', () => {
    const team: WorkerSpec[] = [{ id: 'a', wish: 'DRAIN' }, { id: 'b' }, { id: 'c' }];
    for (const balance of [true, false]) {
      const { target, moves } = assign(held({ a: 4, b: 4, c: 4 }), team, { balance });
      expect(loadsById(target)).toEqual({ b: 6, c: 6 });
      expect(moves.map(({ from, reason }) => `${from ?? ''} ${reason}`)).toEqual(Array(4).fill('a DRAIN'));
    }
  });

  it('a draining worker keeps what nobody else may take, after what has no worker at all', () => {
    const team: WorkerSpec[] = [
      { id: 'a', wish: 'DRAIN' },
      { id: 'b', maxPartitions: 3 },
    ];
    const { target } = assign(['a', 'a', 'a', null, 'b'], team, { balance: true });
    expect(target).toEqual(['a', 'a', 'b', 'b', 'b']);
    expect(assign(held({ a: 2 }), team.slice(0, 1), { balance: true }).moves).toEqual([]);
    expect(assign([null], team.slice(0, 1), { balance: true }).target).toEqual([null]);
  });

  it('a disabled worker holds nothing, even if nobody else may hold it', () => {
    const disabled: WorkerSpec = { id: 'a', wish: 'DISABLED' };
    const { target, moves } = assign(held({ a: 2 }), [disabled, { id: 'b', maxPartitions: 1 }], {
      balance: false,
    });
    expect(target).toEqual(['b', null]);
    expect(moves.map(({ reason }) => reason)).toEqual(['DISABLED', 'DISABLED']);
  });

  it('where a tag is required, only workers that have it hold anything', () => {
    const team: WorkerSpec[] = [
      { id: 'a', tags: ['ssd', 'arm'] },
      { id: 'b', tags: ['arm'] },
      { id: 'c', wish: 'DRAIN' },
    ];
    const { target, moves } = assign(held({ a: 1, b: 2, c: 1 }), team, { balance: true, requiredTag: 'ssd' });
    expect(loadsById(target)).toEqual({ a: 4 });
    expect(moves.map(({ reason }) => reason)).toEqual(['TAG', 'TAG', 'TAG']);
    expect(loadsById(assign(target, team, { balance: true }).target)).toEqual({ a: 2, b: 2 });
  });

  it('explain each move', () => {
    const team: WorkerSpec[] = [
      { id: 'w1', wish: 'DRAIN' },
      { id: 'w2' },
      { id: 'w3', wish: 'DISABLED' },
      { id: 'w4', tags: [], maxPartitions: 0 },
    ];
    const { moves } = assign(['w1', 'w3', 'w4', 'w5', null, 'w2'], team, { balance: true });
    expect(moves.map(describeMove)).toEqual([
      'partition 0: w1 → w2 (w1 drains)',
      'partition 1: w3 → w2 (w3 is disabled)',
      'partition 2: w4 → w2 (w4 holds more than it may)',
      'partition 3: w5 → w2 (w5 is gone)',
      'partition 4: nobody → w2 (it had no worker)',
    ]);
    const [balancing] = assign(['w2', 'w2'], [{ id: 'w2' }, { id: 'w6' }], { balance: true }).moves;
    const [untagged] = assign(['w2'], [{ id: 'w2' }], { balance: true, requiredTag: 'ssd' }).moves;
    expect([balancing, untagged].map((move) => move && describeMove(move))).toEqual([
      'partition 1: w2 → w6 (w2 holds more than its share)',
      'partition 0: w2 → nobody (w2 lacks the required tag; no worker may hold it)',
    ]);
  });
});

describe('nonsense', () => {
  it.each([
    [{ id: 'a', weight: 0 }],
    [{ id: 'a', weight: -1 }],
    [{ id: 'a', weight: NaN }],
    [{ id: 'a', weight: Infinity }],
    [{ id: 'a', maxPartitions: -1 }],
    [{ id: 'a', maxPartitions: 1.5 }],
  ])('%j breaks an invariant', (worker) => {
    expect(() => assign(unassigned(4), [worker], { balance: true })).toThrow(InvariantError);
  });

  it('so do two workers of one id', () => {
    expect(() => assign(unassigned(4), workers('a', 'a'), { balance: true })).toThrow(InvariantError);
  });
});

describe('16,384 partitions on 1,000 workers with weights, zones and limits', () => {
  const team = (first: number): WorkerSpec[] =>
    Array.from({ length: 1_000 }, (_, i) => first + i).map((n) => ({
      id: `w${n}`,
      weight: 1 + (n % 4),
      zone: `z${n % 3}`,
      ...(n % 5 === 0 && { maxPartitions: 20 }),
    }));
  const settled = assign(unassigned(16_384), team(0), { balance: true }).target;
  const scattered = settled.map((_, partition) => `w${(partition * 7_919) % 1_100}`);

  it.each([
    ['start', unassigned(16_384), team(0)],
    ['one new and one gone', settled, team(1)],
    ['all of them elsewhere', scattered, team(0)],
  ])('are planned in under 100 ms: %s', (_, current, members) => {
    // Of the processor, so that what else the machine does is not counted.
    const tookMs = Array.from({ length: 9 }, () => {
      const before = process.cpuUsage();
      assign(current, members, { balance: true });
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1_000;
    });
    expect(tookMs.sort((a, b) => a - b)[4]).toBeLessThan(100);
  });
});
