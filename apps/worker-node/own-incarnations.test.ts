import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../libs/testing/manual-clock.ts';
import { OwnIncarnations } from './own-incarnations.ts';

describe('the incarnations a process has claimed under', () => {
  it('are its own until the database shows that nothing is left, long after the last claim', async () => {
    const clock = new ManualClock();
    const own = new OwnIncarnations(clock);
    own.claiming(['a', 'b']);
    own.runsNothing('a');
    expect(own.all).toEqual(['a', 'b']);
    await clock.advance(121_000);
    expect(own.all).toEqual(['a', 'b']);
    own.claiming(['b']);
    own.runsNothing('a');
    own.runsNothing('b');
    expect(own.all).toEqual(['b']);
  });
});
