import type { ClaimResult } from '../../libs/db/stores.ts';

/** Of one claim. A record of it is written in each of its partitions, and a commit for all: the more of both, the less a task costs. */
const MAX_CLAIM = 1_000;
/** Of what fits into a reply so much is asked for, as the tasks differ: the database has read in vain what does not fit. */
const FILL = 0.9;
/** A reply that is filled so far may have been cut off. */
const FILLED = 0.8;

/**
 * It writes a record in each of its partitions. Of a backlog there is enough in few of them; where one claim takes all that is due, whoever is
 * left out waits for the next (docs/adr/0009-claims-as-records.md).
 */
const MAX_PARTITIONS = 64;
const BACKLOG_PARTITIONS = 16;
/** Twice as many partitions would not take longer than a statement may. */
const FAST_MS = 1_000;

/**
 * How many tasks are claimed at a time: what fits into a reply, which is bounded in bytes, if they are like those of the last. And in
 * how many partitions: fewer, and only the first task in each, where one has taken longer than a statement may.
 */
export class ClaimSize {
  #most = MAX_CLAIM;
  #partitions = MAX_PARTITIONS;
  #backlog = false;
  #cutOff = false;

  /** Partitions at most. */
  get partitions(): number {
    return this.#backlog ? Math.min(this.#partitions, BACKLOG_PARTITIONS) : this.#partitions;
  }

  /** Tasks at most, of so many partitions. */
  most(partitions: number): number {
    return this.#cutOff ? partitions : this.#most;
  }

  /** A claim in so many partitions has been answered, after so long. */
  answered(partitions: number, tookMs: number): void {
    this.#cutOff = false;
    if (partitions === this.partitions && tookMs < FAST_MS)
      this.#partitions = Math.min(MAX_PARTITIONS, this.#partitions * 2);
  }

  /** A claim in so many partitions has been cut off. */
  cutOff(partitions: number): void {
    this.#cutOff = true;
    this.#partitions = Math.max(1, partitions >> 1);
  }

  /**
   * Takes note of a reply.
   * @param limit what was asked for
   * @returns whether more may be due where it was claimed
   */
  claimed(
    { tasks, fitting }: Pick<ClaimResult, 'fitting'> & { readonly tasks: readonly unknown[] },
    limit: number,
  ): boolean {
    this.#most = Math.max(1, Math.min(MAX_CLAIM, Math.floor(fitting * FILL)));
    this.#backlog = tasks.length >= Math.min(limit, fitting * FILLED);
    return this.#backlog;
  }
}
