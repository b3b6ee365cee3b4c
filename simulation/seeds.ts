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
}

/** Runs seeds on all processors. Stops at the first that fails, unless `all` are asked for. */
export async function runSeeds(request: SeedsRequest): Promise<SeedsResult> {
  const { from, count, steps, all = false, onProgress, stop } = request;
  const failed: FailedSeed[] = [];
  const longestMs = nothingYet();
  let [next, done, handlersStarted, virtualMs] = [from, 0, 0, 0];
  const exhausted = () => next >= from + count || stop?.aborted === true || (failed.length > 0 && !all);

  const work = async (thread: Worker): Promise<void> => {
    while (!exhausted()) {
      const { seed, violation, ...amounts } = await ask(thread, { seed: next++, steps });
      done += 1;
      handlersStarted += amounts.handlersStarted;
      virtualMs += amounts.virtualMs;
      for (const kind of Object.keys(longestMs) as (keyof LongestMs)[])
        longestMs[kind] = Math.max(longestMs[kind], amounts.longestMs[kind]);
      if (violation !== undefined) failed.push({ seed, ...violation });
      onProgress?.(done);
    }
  };
  const threads = Array.from({ length: Math.min(request.threads ?? availableParallelism(), count) }, () =>
    startThread(new URL('./seed-thread.ts', import.meta.url), {}),
  );
  try {
    await Promise.all(threads.map(work));
  } finally {
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
  failed.sort((a, b) => a.seed - b.seed);
  return { done, failed, handlersStarted, virtualMs, longestMs };
}

function ask(thread: Worker, question: SeedQuestion): Promise<SeedAnswer> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error) =>
      reject(new Error(`seed ${question.seed}: ${error.message}`, { cause: error }));
    thread.once('error', failed);
    thread.once('message', (answer: SeedAnswer) => {
      thread.off('error', failed);
      resolve(answer);
    });
    thread.postMessage(question);
  });
}
