import { describe, expect, it } from 'vitest';
import { assign } from '../../libs/core/assignment.ts';
import type { Move, Targets } from '../../libs/core/assignment.ts';
import { aged, OLDEST } from './ages.ts';
import type { Ages } from './ages.ts';
import { steady } from './steady.ts';

/** Restarts `workers` workers in turn; how often each partition moved. */
function rollingRestart(partitions: number, workers: number): number[] {
  const ids = Array.from({ length: workers }, (_, i) => `w${i}`);
  const moved = Array<number>(partitions).fill(0);
  let target: Targets = Array<null>(partitions).fill(null);
  let ages: Ages = Array<number>(partitions).fill(OLDEST);
  const step = (living: readonly string[], balance: boolean) => {
    const planned = assign(
      target,
      living.map((id) => ({ id })),
      { balance },
    );
    const next = steady(planned, target, { ages, epoch: moved });
    expect(next.moves.map(routeOf).sort()).toEqual(planned.moves.map(routeOf).sort());
    for (const { partition, from, to } of next.moves) {
      expect([from, to]).toEqual([target[partition], next.target[partition]]);
      moved[partition] = (moved[partition] ?? 0) + 1;
    }
    ages = aged(ages, target, next.target);
    target = next.target;
  };
  step(ids, true);
  moved.fill(0);
  for (const id of ids) {
    step(
      ids.filter((other) => other !== id),
      false,
    );
    step(ids, true);
  }
  return moved;
}

const routeOf = ({ from, to, reason }: Move) => `${from ?? ''} ${to ?? ''} ${reason}`;

function loadsOf(target: Targets): Record<string, number> {
  const loads: Record<string, number> = {};
  for (const id of [...target].sort()) if (id !== null) loads[id] = (loads[id] ?? 0) + 1;
  return loads;
}

describe('which of equals move', () => {
  it('a rolling restart moves each partition twice where all hold as many', () => {
    for (const workers of [2, 3, 5, 8]) {
      expect(new Set(rollingRestart(workers * 12, workers))).toEqual(new Set([2]));
    }
    expect(Math.max(...rollingRestart(64, 5))).toBe(2);
  });

  it('leaves alone what a limit takes from a worker that sheds for balance too', () => {
    const current = Array<string>(12).fill('d');
    const workers = [{ id: 'd', maxPartitions: 6 }, { id: 'e' }, { id: 'f' }, { id: 'g' }];
    const planned = assign(current, workers, { balance: true });
    expect(new Set(planned.moves.map(({ reason }) => reason))).toEqual(new Set(['LIMIT', 'BALANCE']));
    const history = { ages: Array<number>(12).fill(OLDEST), epoch: Array<number>(12).fill(1) };
    expect(loadsOf(steady(planned, current, history).target)).toEqual({ d: 3, e: 3, f: 3, g: 3 });
  });

  it('and a third time one at most, where they cannot', () => {
    for (const partitions of [59, 61, 63, 69, 254, 1_024]) {
      const moved = rollingRestart(partitions, 5);
      expect(Math.max(...moved)).toBeLessThanOrEqual(3);
      expect(moved.filter((times) => times === 3).length).toBeLessThanOrEqual(1);
    }
  });
});
