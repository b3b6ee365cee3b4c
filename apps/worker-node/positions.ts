import type { Beyond, ClaimedTask, ClaimResult, Position } from '../../libs/db/stores.ts';

/** What a claim says of how far it got. */
interface Claimed extends Pick<ClaimResult, 'held' | 'oldestRecords'> {
  readonly tasks: readonly Pick<ClaimedTask, 'partition' | 'dueAtMs' | 'id' | 'priority'>[];
}

/**
 * How far claims have got in each owned partition, ordered by due time: what lies before was claimed, or runs elsewhere.
 * It spares a claim the sight of everything that was claimed before it, which stays in the index until it has ended
 * and a vacuum has passed. It is a shortcut and no truth: what is committed later may be due earlier, hence `back`.
 * (The oldest record of a partition is the truth: a claim was told it under the lock of the partition's row.)
 */
export class Positions {
  readonly #after = new Map<number, Position>();
  readonly #oldestRecord = new Map<number, number>();
  /** Where we were sent back to since the last claim in it, or look at it, began, which may not have seen what is there. */
  readonly #backMeanwhile = new Map<number, number>();

  /** Undefined is the beginning. */
  of(partition: number): Position | undefined {
    return this.#after.get(partition);
  }

  /** Where to look in `partition`: beyond how far claims have got. */
  beyond(partition: number): Beyond {
    return { partition, after: this.of(partition), oldestRecord: this.#oldestRecord.get(partition) };
  }

  /** A claim in these begins, or a look at them from where we are. */
  looking(partitions: readonly number[]): void {
    for (const partition of partitions) this.#backMeanwhile.delete(partition);
  }

  /** It has taken these tasks, oldest due first among those without a priority. */
  claimed({ tasks, held, oldestRecords }: Claimed): void {
    for (const { partition, dueAtMs, id, priority } of tasks)
      if (priority === 0) this.#after.set(partition, { dueAtMs, id });
    for (const [index, partition] of held.entries()) {
      this.#oldestRecord.set(partition, oldestRecords[index] ?? 0);
      const backMs = this.#backMeanwhile.get(partition);
      if (backMs !== undefined) this.back(partition, backMs);
    }
  }

  /** That look has found that nothing waits that is due before `dueAtMs`, but for what we were sent back to meanwhile. */
  found(partition: number, dueAtMs: number): void {
    const firstMs = Math.min(dueAtMs, this.#backMeanwhile.get(partition) ?? Infinity);
    const beforeMs = this.#after.get(partition)?.dueAtMs ?? -Infinity;
    if (firstMs > beforeMs) this.#after.set(partition, { dueAtMs: firstMs, id: 0 });
  }

  /** Something may be waiting that is due at `dueAtMs`. */
  back(partition: number, dueAtMs: number): void {
    this.#backMeanwhile.set(partition, Math.min(dueAtMs, this.#backMeanwhile.get(partition) ?? Infinity));
    const after = this.#after.get(partition);
    if (after === undefined || after.dueAtMs < dueAtMs) return;
    if (dueAtMs === -Infinity) this.#after.delete(partition);
    else this.#after.set(partition, { dueAtMs, id: 0 });
  }

  /** No longer ours. The oldest record stays: what we have claimed there may run on, and is at or after it. */
  drop(partition: number): void {
    this.#after.delete(partition);
    this.#backMeanwhile.set(partition, -Infinity);
  }

  /** Ours anew: to be looked through from its first record, as a database that was restored may have gone back. */
  begin(partition: number): void {
    this.drop(partition);
    this.#oldestRecord.delete(partition);
  }
}
