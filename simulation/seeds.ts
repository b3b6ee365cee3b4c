import { availableParallelism } from 'node:os';
import type { Worker } from 'node:worker_threads';
import { nothingYet } from './liveness.ts';
import type { LongestMs } from './liveness.ts';
import { startThread } from '../libs/runtime/thread.ts';

export interface SeedsRequest {
  readonly from: number;
  readonly count: number;
  readonly steps: number;
  /** By default one a processor. */
  readonly threads?: number;
  /** Goes on after a failing seed. */
  readonly all?: boolean;
  readonly onProgress?: (done: number) => void;
  readonly onFailed?: (failed: FailedSeed) => void;
  readonly stop?: AbortSignal;
}

export interface FailedSeed {
  readonly seed: number;
  readonly promise: string;
  readonly message: string;
}

export interface SeedsResult {
  readonly done: number;
  readonly failed: readonly FailedSeed[];
  readonly handlersStarted: number;
  readonly virtualMs: number;
  /** The longest of all. */
  readonly longestMs: LongestMs;
  /** What happened that is worth having happened, and how often in all of them. */
  readonly counts: ReadonlyMap<string, number>;
}

/** What a thread is asked for; it answers each with a {@link SeedAnswer}. */
export interface SeedQuestion {
  readonly seed: number;
  readonly steps: number;
}

export interface SeedAnswer {
  readonly seed: number;
  readonly violation: { readonly promise: string; readonly message: string } | undefined;
  readonly handlersStarted: number;
  readonly virtualMs: number;
  readonly longestMs: LongestMs;
  readonly counts: ReadonlyMap<string, number>;
}

/** Of a processor's time that nothing else wants, a seed of 300 steps takes a tenth of a second. */
const SEED_LIMIT_MS = 60_000;
const STEPS_WITHIN_LIMIT = 300;

/** Runs seeds on all processors. Stops at the first that fails, unless `all` are asked for. */
export async function runSeeds(request: SeedsRequest): Promise<SeedsResult> {
  const { from, count, steps, all = false, threads = availableParallelism(), stop } = request;
  const failed: FailedSeed[] = [];
  const [longestMs, counts] = [nothingYet(), new Map<string, number>()];
  let [next, done, handlersStarted, virtualMs] = [from, 0, 0, 0];
  const exhausted = () => next >= from + count || stop?.aborted === true || (failed.length > 0 && !all);

  const note = ({ seed, violation, ...answer }: SeedAnswer): void => {
    done += 1;
    handlersStarted += answer.handlersStarted;
    virtualMs += answer.virtualMs;
    for (const kind of Object.keys(longestMs) as (keyof LongestMs)[])
      longestMs[kind] = Math.max(longestMs[kind], answer.longestMs[kind]);
    for (const [what, times] of answer.counts) counts.set(what, (counts.get(what) ?? 0) + times);
    if (violation !== undefined) {
      failed.push({ seed, ...violation });
      request.onFailed?.({ seed, ...violation });
    }
    request.onProgress?.(done);
  };
  const work = async (): Promise<void> => {
    const thread = new SeedThread();
    try {
      while (!exhausted()) note(await thread.run({ seed: next++, steps }));
    } finally {
      await thread.end();
    }
  };
  await Promise.all(Array.from({ length: Math.min(threads, count) }, work));
  failed.sort((a, b) => a.seed - b.seed);
  return { done, failed, handlersStarted, virtualMs, longestMs, counts };
}

/** A thread for seeds, and another one after a seed that came to no end. */
class SeedThread {
  #worker: Worker | undefined;

  async run(question: SeedQuestion): Promise<SeedAnswer> {
    const worker = (this.#worker ??= startThread(new URL('./seed-thread.ts', import.meta.url), {}));
    const limitMs = SEED_LIMIT_MS * Math.max(1, question.steps / STEPS_WITHIN_LIMIT);
    const answer = await ask(worker, question, limitMs);
    if (answer !== undefined) return answer;
    await this.end();
    const message = `it had not ended after ${limitMs / 1_000} s of real time: something spins`;
    const violation = { promise: 'no fault of ours', message };
    const nothing = { handlersStarted: 0, virtualMs: 0, longestMs: nothingYet(), counts: new Map() };
    return { seed: question.seed, violation, ...nothing };
  }

  async end(): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = undefined;
  }
}

/** The thread's answer, `undefined` where there is none in time. */
function ask(thread: Worker, question: SeedQuestion, limitMs: number): Promise<SeedAnswer | undefined> {
  return new Promise((resolve, reject) => {
    const settle = (end: () => void) => {
      clearTimeout(limit);
      thread.off('error', failed).off('message', answered);
      end();
    };
    const failed = (error: Error) =>
      settle(() => reject(new Error(`seed ${question.seed}: ${error.message}`, { cause: error })));
    const answered = (answer: SeedAnswer) => settle(() => resolve(answer));
    const limit = setTimeout(() => settle(() => resolve(undefined)), limitMs);
    thread.once('error', failed).once('message', answered);
    thread.postMessage(question);
  });
}
