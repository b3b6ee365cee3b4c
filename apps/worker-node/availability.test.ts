import { describe, expect, it } from 'vitest';
import { StatementCancelledError, StoreUnavailableError } from '../../libs/db/stores.ts';
import { keptLog } from '../../libs/testing/kept-log.ts';
import { ManualClock } from '../../libs/testing/manual-clock.ts';
import { seededRandom } from '../../libs/testing/seeded-random.ts';
import { Availability } from './availability.ts';

function availabilityWithLog(): { availability: Availability; said: readonly string[] } {
  const { logger, said } = keptLog();
  return {
    availability: new Availability({ clock: new ManualClock(), random: seededRandom(1), logger }),
    said,
  };
}

const away = () => Promise.reject(new StoreUnavailableError('connection refused'));
const there = () => Promise.resolve('answer');

describe('what a worker says of its database', () => {
  it('is said once when it goes away, and once when it is back', async () => {
    const { availability, said } = availabilityWithLog();
    for (let i = 0; i < 5; i += 1) await expect(availability.once('peek', away)).rejects.toThrow('refused');
    expect(said).toEqual(['database unavailable: waiting for it']);
    expect(await availability.once('peek', there)).toBe('answer');
    expect(said).toEqual(['database unavailable: waiting for it', 'database is back']);
  });

  it('does not flap where it answers reads and refuses writes', async () => {
    const { availability, said } = availabilityWithLog();
    for (let i = 0; i < 5; i += 1) {
      await availability.once('peek', there);
      await expect(availability.once('claim', away)).rejects.toThrow();
    }
    expect(said).toEqual(['database unavailable: waiting for it']);
    await availability.once('claim', there);
    expect(said.at(-1)).toBe('database is back');
  });

  it('is not that it is away where it cuts a statement off', async () => {
    const { availability, said } = availabilityWithLog();
    const cutOff = () => Promise.reject(new StatementCancelledError('statement timeout'));
    for (const call of [cutOff, cutOff, there, cutOff]) await availability.once('peek', call).catch(() => {});
    expect(said).toEqual(['statement cut off: trying again', 'statement cut off: trying again']);
    await availability.once('peek', away).catch(() => {});
    await availability.once('peek', cutOff).catch(() => {});
    expect(said.slice(2)).toEqual(['database unavailable: waiting for it', 'database is back']);
  });

  it('is waited for no longer than somebody wants to', async () => {
    const { availability } = availabilityWithLog();
    expect(await availability.untilAvailable('finish', away, AbortSignal.abort())).toBeUndefined();
    await expect(
      availability.untilAvailable(
        'finish',
        () => Promise.reject(new Error('a bug')),
        new AbortController().signal,
      ),
    ).rejects.toThrow('a bug');
  });
});
