import { describe, expect, it } from 'vitest';
import type { Clock } from '../../libs/core/clock.ts';
import type { AttemptEnd } from '../../libs/db/stores.ts';
import { deferred } from '../../libs/testing/deferred.ts';
import { keptLog } from '../../libs/testing/kept-log.ts';
import { ManualClock } from '../../libs/testing/manual-clock.ts';
import { seededRandom } from '../../libs/testing/seeded-random.ts';
import { AttemptContext } from './attempt-context.ts';
import { runHandler } from './attempt-end.ts';
import type { Handler } from './handlers/handler.ts';

const TIMEOUT_MS = 100;

/** Runs `handler`, which may compute for so long as it likes: no timer runs meanwhile. */
async function endOf(handler: (compute: (ms: number) => void) => Handler): Promise<string> {
  const still = new ManualClock();
  let aheadMs = 0;
  const clock: Clock = {
    wallMs: () => still.wallMs() + aheadMs,
    monotonicMs: () => still.monotonicMs() + aheadMs,
    schedule: (delayMs, callback) => still.schedule(delayMs, callback),
  };
  const abort = new AbortController();
  const task = { id: 1, name: 'x', partition: 0, epoch: 1, attempt: 1, scheduledAtMs: 1, record: 1 };
  const progressed = () => undefined;
  const ended = deferred<AttemptEnd>();
  await runHandler(
    { payload: null, abort, task: { failures: 0, policy: { timeoutMs: TIMEOUT_MS } } },
    handler((ms) => (aheadMs += ms)),
    new AttemptContext(task, abort, { logger: keptLog().logger, clock, progressed }),
    {
      ...{ clock, random: seededRandom(1), onGivenUp: () => undefined },
      onEnd: (_, end) => ended.resolve(end),
    },
  );
  const end = await ended.promise;
  return 'error' in end ? `${end.kind}: ${(end.error as Error).message}` : end.kind;
}

describe('an attempt that computes all the time', () => {
  it.each([
    [TIMEOUT_MS, 'COMPLETED'],
    [TIMEOUT_MS + 1, 'RETRY: it took longer than its task allows'],
  ])('for %i ms has ended as %s', async (ms, expected) => {
    const computing = (compute: (ms: number) => void): Handler => ({
      run() {
        compute(ms);
        return Promise.resolve();
      },
    });
    expect(await endOf(computing)).toBe(expected);
  });

  it('has its time from when all was ready', async () => {
    const prepared = (compute: (ms: number) => void): Handler => ({
      run: () => Promise.resolve(),
      prepare() {
        compute(10 * TIMEOUT_MS);
        return Promise.resolve({ run: () => Promise.resolve() });
      },
    });
    expect(await endOf(prepared)).toBe('COMPLETED');
  });
});
