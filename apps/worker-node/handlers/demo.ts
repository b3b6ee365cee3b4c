import { sleep } from '../../../libs/core/clock.ts';
import type { Clock } from '../../../libs/core/clock.ts';
import type { Json } from '../../../libs/core/task.ts';
import type { Handler } from './handler.ts';

/** The longest a timer can run: 24.8 days. */
const MAX_SLEEP_MS = 2 ** 31 - 1;

function field(payload: Json, name: string): Json | undefined {
  if (payload === null || typeof payload !== 'object' || Array.isArray(payload)) return undefined;
  return (payload as { readonly [key: string]: Json })[name];
}

function compute(clock: Clock, computeMs: number): void {
  const endsAtMs = clock.monotonicMs() + computeMs;
  while (clock.monotonicMs() < endsAtMs);
}

/**
 * A task to try things with: `{"sleepMs": 5000}` takes that long, `{"computeMs": 5000}` computes that long without
 * yielding to anything else in its worker, `{"fail": true}` fails every attempt, `{"fail": 2}` the first two. It heeds
 * its signal.
 */
export function demoHandler(clock: Clock): Handler {
  return async (payload, { attempt, signal }) => {
    const sleepMs = field(payload, 'sleepMs');
    if (typeof sleepMs === 'number' && sleepMs > 0)
      await sleep(clock, Math.min(sleepMs, MAX_SLEEP_MS), signal);
    const computeMs = field(payload, 'computeMs');
    if (typeof computeMs === 'number') compute(clock, Math.min(computeMs, MAX_SLEEP_MS));
    signal.throwIfAborted();
    const fail = field(payload, 'fail');
    if (fail === true || (typeof fail === 'number' && attempt <= fail)) {
      throw new Error(`attempt ${attempt} failed as its payload asked`);
    }
  };
}
