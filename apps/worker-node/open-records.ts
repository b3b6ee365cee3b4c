import type { ClaimRecord } from '../../libs/db/stores.ts';

/** How many attempts of each of our claims' records have not ended: a record goes with the outcome of its last. */
export class OpenRecords {
  /** By record and partition. */
  readonly #open = new Map<number, Map<number, number>>();

  get size(): number {
    let size = 0;
    for (const partitions of this.#open.values()) size += partitions.size;
    return size;
  }

  /** An attempt of it was taken in hand. */
  opened({ partition, record }: ClaimRecord): void {
    let partitions = this.#open.get(record);
    if (partitions === undefined) this.#open.set(record, (partitions = new Map<number, number>()));
    partitions.set(partition, (partitions.get(partition) ?? 0) + 1);
  }

  /** An attempt of it has ended, or is no longer ours. @returns whether it was the last */
  ended({ partition, record }: ClaimRecord): boolean {
    const partitions = this.#open.get(record);
    const left = (partitions?.get(partition) ?? 0) - 1;
    if (left > 0) partitions?.set(partition, left);
    else partitions?.delete(partition);
    if (partitions?.size === 0) this.#open.delete(record);
    return left === 0;
  }
}
