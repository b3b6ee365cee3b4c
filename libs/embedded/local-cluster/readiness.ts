import type { Clock } from '../../core/clock.ts';
import { sleep } from '../../core/clock.ts';
import { StartupError } from '../../runtime/app-process.ts';

export interface ReadinessOptions {
  /** Where the API is, e.g. `http://127.0.0.1:8080`. */
  readonly url: string;
  /** The workers that must be alive. */
  readonly workerIds: readonly string[];
  readonly clock: Clock;
  readonly deadlineMs: number;
  /** Gives up at once when aborted. */
  readonly signal: AbortSignal;
}

interface ClusterView {
  readonly partitions: readonly { readonly owner: string | null }[];
  readonly workers: readonly { readonly id: string; readonly alive: boolean }[];
}

const POLL_MS = 100;
const REQUEST_DEADLINE_MS = 2_000;

/**
 * Resolves once the API says that it is ready, all workers are alive, every partition has an owner among the
 * living and, where there are enough of them, every worker a partition; also when aborted.
 * @throws StartupError at the deadline, saying what is missing
 */
export async function clusterReady(options: ReadinessOptions): Promise<void> {
  const { clock, deadlineMs, signal } = options;
  const endMs = clock.monotonicMs() + deadlineMs;
  while (!signal.aborted) {
    const missing = await whatIsMissing(options);
    if (missing === undefined) return;
    if (clock.monotonicMs() >= endMs) {
      throw new StartupError(`not ready after ${Math.round(deadlineMs / 1_000)} s: ${missing}`);
    }
    await sleep(clock, POLL_MS, signal);
  }
}

async function whatIsMissing({ url, workerIds }: ReadinessOptions): Promise<string | undefined> {
  const get = (path: string) => fetch(url + path, { signal: AbortSignal.timeout(REQUEST_DEADLINE_MS) });
  try {
    const ready = await get('/readyz');
    await ready.arrayBuffer();
    if (!ready.ok) return `the API answers ${ready.status} to /readyz`;
    const cluster = await get('/cluster');
    if (!cluster.ok) return `the API answers ${cluster.status} to /cluster`;
    const { partitions, workers } = (await cluster.json()) as ClusterView;
    const alive = new Set(workers.filter((worker) => worker.alive).map((worker) => worker.id));
    const absent = workerIds.filter((id) => !alive.has(id));
    if (absent.length > 0) return `${absent.join(', ')} not there yet`;
    const owners = new Set(partitions.map(({ owner }) => owner));
    const idle = workerIds.filter((id) => !owners.has(id));
    const orphans = partitions.filter(({ owner }) => owner === null || !alive.has(owner)).length;
    if (orphans > 0) return `${orphans} of ${partitions.length} partitions without an owner`;
    const enoughForAll = partitions.length >= alive.size;
    return enoughForAll && idle.length > 0 ? `${idle.join(', ')} without a partition` : undefined;
  } catch {
    return 'the API does not answer';
  }
}
