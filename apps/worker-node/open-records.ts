import type { ClaimRecord } from '../../libs/db/stores.ts';

/** How many attempts of each of our claims' records have not ended: a record goes with the outcome of its last. */
export class OpenRecords {
  readonly #open = new Map<string, number>();

  get size(): number {
    return this.#open.size;
  }

  /** An attempt of it was taken in hand. */
  opened({ partition, record }: ClaimRecord): void {
    const key = `${partition}/${record}`;
    this.#open.set(key, (this.#open.get(key) ?? 0) + 1);
  }

  /** An attempt of it has ended, or is no longer ours. @returns whether it was the last */
  ended({ partition, record }: ClaimRecord): boolean {
    const key = `${partition}/${record}`;
    const left = (this.#open.get(key) ?? 0) - 1;
    if (left > 0) this.#open.set(key, left);
    else this.#open.delete(key);
    return left === 0;
  }
}
