import type { Beyond, ClaimResult, Position } from '../../libs/db/stores.ts';

/** What a claim says of how far it got. */
interface Claimed extends Pick<ClaimResult, 'held' | 'oldestRecords'> {
  readonly tasks: readonly { readonly partition: number; readonly dueAtMs: number; readonly id: number }[];
}

/**
 * How far claims have got in each owned partition, ordered by due time: what lies before was claimed, or runs elsewhere.
 * It spares a claim the sight of everything that was claimed before it, which stays in the index until it has ended
 * and a vacuum has passed. It is a shortcut and no truth: what is committed later may be due earlier, hence `back`.
 */
export class Positions {
  readonly #after = new Map<number, Position>();
  readonly #oldestRecord = new Map<number, number>();

  /** Undefined is the beginning. */
  of(partition: number): Position | undefined {
    return this.#after.get(partition);
  }

  /** Where to look in `partition`: beyond how far claims have got. */
  beyond(partition: number): Beyond {
    return { partition, after: this.of(partition), oldestRecord: this.#oldestRecord.get(partition) };
  }

  /** A claim has taken these tasks, oldest due first. */
  claimed({ tasks, held, oldestRecords }: Claimed): void {
    for (const { partition, dueAtMs, id } of tasks) this.#after.set(partition, { dueAtMs, id });
    for (const [index, partition] of held.entries())
      this.#oldestRecord.set(partition, oldestRecords[index] ?? 0);
  }

  /** Something may be waiting that is due at `dueAtMs`. */
  back(partition: number, dueAtMs: number): void {
    const after = this.#after.get(partition);
    if (after === undefined || after.dueAtMs < dueAtMs) return;
    if (dueAtMs === -Infinity) this.#after.delete(partition);
    else this.#after.set(partition, { dueAtMs, id: 0 });
  }

  /** No longer ours, or anew. */
  drop(partition: number): void {
    this.#after.delete(partition);
    this.#oldestRecord.delete(partition);
  }
}
