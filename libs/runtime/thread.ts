import { Worker } from 'node:worker_threads';

/** Whether this Node runs TypeScript itself; @types/node 20 does not know of the property. */
const stripsTypes = Boolean((process.features as { typescript?: string | false }).typescript);

/**
 * Starts a thread from a TypeScript file, the way this process itself runs TypeScript (bin/run.mjs).
 *
 * @param file URL of the file
 * @param workerData cloned into the thread
 */
export function startThread(file: URL, workerData: unknown): Worker {
  return new Worker(file, {
    workerData,
    execArgv: stripsTypes ? [] : ['--import', import.meta.resolve('tsx')],
  });
}
