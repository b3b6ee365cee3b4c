/** Submitting, one by one or in bulk: the same loops for every contestant, over HTTP and in process. */
import type { Moment } from './contestants/contestant.ts';
import { pause } from './processes.ts';
import { wallMs } from './wall-clock.ts';

/** Submits the task of this number; resolves once it is acknowledged. */
export type Submit = (sample: number) => Promise<void>;

export interface Trickle {
  readonly samples: number;
  /** The pause before each is drawn evenly between these two. */
  readonly minGapMs: number;
  readonly maxGapMs: number;
}

export interface Flood {
  readonly inFlight: number;
  /** Not counted: connections are made, and code is compiled. */
  readonly warmupMs: number;
  readonly measuredMs: number;
}

/** So many tasks in each submission. */
export interface BulkFlood extends Flood {
  readonly each: number;
}

export interface Flooded {
  /** Acknowledged within `elapsedMs`. */
  readonly count: number;
  readonly elapsedMs: number;
}

export async function trickle(submit: Submit, { samples, minGapMs, maxGapMs }: Trickle): Promise<Moment[]> {
  const sent: Moment[] = [];
  for (let sample = 0; sample < samples; sample++) {
    await pause(minGapMs + Math.random() * (maxGapMs - minGapMs));
    sent.push([sample, wallMs()]);
    await submit(sample);
  }
  return sent;
}

export async function flood(submit: Submit, { inFlight, warmupMs, measuredMs }: Flood): Promise<Flooded> {
  const beginMs = performance.now() + warmupMs;
  const endMs = beginMs + measuredMs;
  let sample = 0;
  let count = 0;
  let lastMs = beginMs;
  const lane = async () => {
    while (performance.now() < endMs) {
      await submit(sample++);
      const nowMs = performance.now();
      if (nowMs < beginMs || nowMs > endMs) continue;
      count++;
      lastMs = nowMs;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  return { count, elapsedMs: lastMs - beginMs };
}

/** @param submitMany submits those of these numbers */
export async function floodBulk(
  submitMany: (samples: readonly number[]) => Promise<void>,
  options: BulkFlood,
): Promise<Flooded> {
  const { each } = options;
  const submit: Submit = (call) =>
    submitMany(Array.from({ length: each }, (_, index) => call * each + index));
  const { count, elapsedMs } = await flood(submit, options);
  return { count: count * each, elapsedMs };
}
