import type { ClaimResult } from '../../libs/db/stores.ts';

/** Of one claim. A record of it is written in each of its partitions, and a commit for all: the more of both, the less a task costs. */
const MAX_CLAIM = 1_000;
/** Of what fits into a reply so much is asked for, as the tasks differ: the database has read in vain what does not fit. */
const FILL = 0.9;
/** A reply that is filled so far may have been cut off. */
const FILLED = 0.8;

/** How many tasks are claimed at a time: what fits into a reply, which is bounded in bytes, if they are like those of the last. */
export class ClaimSize {
  #most = MAX_CLAIM;

  get most(): number {
    return this.#most;
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
    return tasks.length >= Math.min(limit, fitting * FILLED);
  }
}
