import { sleep } from '../../../libs/core/clock.ts';
import type { Clock } from '../../../libs/core/clock.ts';
import { Type, defineHandler } from '../../../libs/handlers/index.ts';

/** The longest a timer can run: 24.8 days. */
const MAX_SLEEP_MS = 2 ** 31 - 1;

/**
 * A task to try things with: `{"sleepMs": 5000}` takes that long, `{"computeMs": 5000}` computes that long without
 * yielding to anything else in its worker, `{"fail": true}` fails every attempt, `{"fail": 2}` the first two. It heeds
 * its signal.
 */
export function demoHandler(clock: Clock) {
  return defineHandler({
    name: 'demo',
    payload: Type.Unsafe<{ sleepMs?: unknown; computeMs?: unknown; fail?: unknown } | null>(Type.Unknown()),
    async run({ payload }, context) {
      const { attempt } = context;
      const { sleepMs, computeMs, fail } = payload ?? {};
      if (typeof sleepMs === 'number' && sleepMs > 0) {
        await sleep(clock, Math.min(sleepMs, MAX_SLEEP_MS), context.signal);
        context.signal.throwIfAborted();
      }
      if (typeof computeMs === 'number') {
        compute(clock, Math.min(computeMs, MAX_SLEEP_MS));
        context.signal.throwIfAborted();
      }
      if (fail === true || (typeof fail === 'number' && attempt <= fail)) {
        throw new Error(`attempt ${attempt} failed as its payload asked`);
      }
    },
  });
}

function compute(clock: Clock, computeMs: number): void {
  const endsAtMs = clock.monotonicMs() + computeMs;
  while (clock.monotonicMs() < endsAtMs);
}
