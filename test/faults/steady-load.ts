import type { ClusterUnderTest } from '../e2e/cluster-under-test.ts';

/** Submits tasks that are due at once, one after the other, until told to stop. */
export class SteadyLoad {
  readonly #cluster: ClusterUnderTest;
  readonly #stop = new AbortController();
  readonly #submitted: { readonly id: number; readonly sentAtMs: number }[] = [];
  readonly #running: Promise<void>;

  constructor(cluster: ClusterUnderTest, everyMs: number) {
    this.#cluster = cluster;
    this.#running = this.#run(everyMs);
    this.#running.catch(() => undefined);
  }

  get submitted(): number {
    return this.#submitted.length;
  }

  /** Of the tasks submitted so far. */
  ids(): number[] {
    return this.#submitted.map(({ id }) => id);
  }

  async #run(everyMs: number): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const sentAtMs = Date.now();
      const { id } = await this.#cluster.submit({ name: 'steady' });
      this.#submitted.push({ id, sentAtMs });
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  }

  /** Ends the load. Rejects where a submission was refused. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** Those submitted so far that no handler has been started for. */
  unstarted(): number[] {
    const started = new Set(this.#cluster.starts.map(({ taskId }) => taskId));
    return this.#submitted.map(({ id }) => id).filter((id) => !started.has(id));
  }

  /** From submission to the first start, milliseconds, ascending, of those submitted in a span of time. */
  latencies(fromMs: number, toMs: number): number[] {
    const first = new Map<number, number>();
    for (const { taskId, timeMs } of this.#cluster.starts) {
      if (!first.has(taskId)) first.set(taskId, timeMs);
    }
    return this.#submitted
      .filter(({ sentAtMs }) => sentAtMs >= fromMs && sentAtMs < toMs)
      .map(({ id, sentAtMs }) => (first.get(id) ?? Infinity) - sentAtMs)
      .sort((a, b) => a - b);
  }
}

/** @param latencies ascending */
export function percentile(latencies: readonly number[], p: number): number {
  return latencies[Math.min(latencies.length - 1, Math.floor((latencies.length * p) / 100))] ?? NaN;
}
