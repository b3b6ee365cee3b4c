/** Since when things have been seen without a break. A new leader starts from nothing, which only waits longer. */
export class SeenSince {
  readonly #firstMs = new Map<string, number>();

  /** What is seen at `nowMs` (monotonic); everything else is forgotten. */
  observe(keys: Iterable<string>, nowMs: number): void {
    const seen = new Set(keys);
    for (const key of this.#firstMs.keys()) if (!seen.has(key)) this.#firstMs.delete(key);
    for (const key of seen) if (!this.#firstMs.has(key)) this.#firstMs.set(key, nowMs);
  }

  /** The keys seen for `ageMs` or longer. */
  olderThan(ageMs: number, nowMs: number): Set<string> {
    return new Set([...this.#firstMs].filter(([, firstMs]) => nowMs - firstMs >= ageMs).map(([key]) => key));
  }

  /** Milliseconds until the next key reaches `ageMs`; Infinity where none will. */
  untilNextMs(ageMs: number, nowMs: number): number {
    const remaining = [...this.#firstMs.values()].map((firstMs) => firstMs + ageMs - nowMs);
    return Math.min(Infinity, ...remaining.filter((ms) => ms > 0));
  }
}
