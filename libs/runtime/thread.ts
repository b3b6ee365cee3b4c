import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { ResourceLimits } from 'node:worker_threads';

/** Whether this Node runs TypeScript itself; @types/node 20 does not know of the property. */
const stripsTypes = Boolean((process.features as { typescript?: string | false }).typescript);

/**
 * Starts a thread from a TypeScript file: where Node does not run it itself, by bin/run.mjs in the thread. (A
 * thread of a process that tsx was registered in does not take `--import tsx`.)
 *
 * @param file URL of the file
 * @param workerData cloned into the thread
 * @param resourceLimits of its heap, beyond which it ends with an error
 */
export function startThread(file: URL, workerData: unknown, resourceLimits: ResourceLimits = {}): Worker {
  if (stripsTypes) return new Worker(file, { workerData, resourceLimits });
  return new Worker(new URL('../../bin/run.mjs', import.meta.url), {
    argv: [fileURLToPath(file)],
    workerData,
    resourceLimits,
  });
}
