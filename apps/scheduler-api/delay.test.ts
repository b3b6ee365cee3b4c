import { describe, expect, it } from 'vitest';
import { NOT_A_DURATION, parseDelay } from './delay.ts';

describe('a delay', () => {
  it.each([
    ['PT0S', 0],
    ['PT15M', 900_000],
    ['PT1H30M', 5_400_000],
    ['P1DT12H', 129_600_000],
    ['P2W', 1_209_600_000],
    ['PT0.5S', 500],
    ['PT0,25S', 250],
    ['PT0.001S', 1],
    ['PT2.007S', 2_007],
    ['P36500D', 3_153_600_000_000],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDelay(text)).toEqual({ ok: true, ms });
  });

  it('finer than a millisecond is rounded up', () => {
    expect(parseDelay('PT0.0001S')).toEqual({ ok: true, ms: 1 });
    expect(parseDelay('PT1.0005S')).toEqual({ ok: true, ms: 1_001 });
  });

  it.each<readonly [string, string]>([
    ...['', 'P', 'PT', '15', '15M', 'PT15', ' PT15M', 'PT15M ', 'PTM', 'PT1M1H', 'pt15m'].map(
      (text) => [text, NOT_A_DURATION] as const,
    ),
    ['-PT1S', 'must not be negative'],
    ['P1M', 'must be in weeks, days or less: years and months are of no fixed length'],
    ['P1Y', 'must be in weeks, days or less: years and months are of no fixed length'],
    ['P36501D', 'must not be over 36500 days'],
    [`PT${'9'.repeat(50)}S`, 'must not be over 36500 days'],
    [`PT${'1'.repeat(100)}S`, NOT_A_DURATION],
  ])('is not %j', (text, detail) => {
    expect(parseDelay(text)).toEqual({ ok: false, detail });
  });
});
