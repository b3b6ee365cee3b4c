import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../libs/testing/manual-clock.ts';
import { OwnIncarnations } from './own-incarnations.ts';

const part = (incarnation: string, partition: number) => ({ incarnation, partition });

describe('the incarnations a process has claimed under', () => {
  it('are its own until the database shows that nothing is left, long after the last claim', async () => {
    const clock = new ManualClock();
    const own = new OwnIncarnations(clock);
    const [a0, a1, b1] = [part('a', 0), part('a', 1), part('b', 1)];
    own.claiming([a0, a1, b1]);
    own.runsOnly([], clock.monotonicMs());
    expect([own.all, own.partitions]).toEqual([
      ['a', 'b'],
      [0, 1],
    ]);
    await clock.advance(121_000);
    expect(own.all).toEqual(['a', 'b']);
    own.claiming([b1]);
    own.runsOnly([a0], clock.monotonicMs());
    expect([own.all, own.partitions]).toEqual([
      ['a', 'b'],
      [0, 1],
    ]);
    own.runsOnly([], clock.monotonicMs());
    expect([own.all, own.partitions]).toEqual([['b'], [1]]);
    await clock.advance(121_000);
    own.runsOnly([b1], clock.monotonicMs());
    expect(own.partitions).toEqual([1]);
    own.runsOnly([], clock.monotonicMs());
    expect([own.all, own.partitions]).toEqual([[], []]);
  });

  it('are still its own where the answer, read much later, was asked for before a claim can have been over', async () => {
    const clock = new ManualClock();
    const own = new OwnIncarnations(clock);
    own.claiming([part('a', 0), part('a', 1)]);
    const askedAtMs = clock.monotonicMs();
    // The main loop is blocked; the claim commits after the look's snapshot.
    await clock.advance(125_000);
    own.runsOnly([part('a', 1)], askedAtMs);
    expect(own.partitions).toEqual([0, 1]);
  });

  it('are its own for as long as it may claim there, and as long again as a claim may live', async () => {
    const clock = new ManualClock();
    const own = new OwnIncarnations(clock);
    own.claiming([part('a', 0), part('a', 1), part('b', 0)]);
    await clock.advance(300_000);
    own.mayClaim([part('a', 0), part('a', 7), part('c', 0)]);
    own.runsOnly([], clock.monotonicMs());
    expect([own.all, own.partitions]).toEqual([['a'], [0]]);
    await clock.advance(119_000);
    own.runsOnly([], clock.monotonicMs());
    expect(own.all).toEqual(['a']);
    await clock.advance(1_000);
    own.runsOnly([], clock.monotonicMs());
    expect(own.all).toEqual([]);
  });
});
