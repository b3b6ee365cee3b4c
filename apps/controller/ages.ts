/**
 * How many changes of the targets ago each partition came to its worker. It stands in the plan, so that every leader,
 * and a dry run, chooses by the same history.
 */
import type { Targets } from '../../libs/core/assignment.ts';

/** This many or more; as much as one base-36 digit holds, since a plan has room for no more than that. */
export const OLDEST = 35;

export type Ages = readonly number[];

/** The ages once the targets `before` have become `after`; the same where nothing has moved. */
export function aged(ages: Ages, before: Targets, after: Targets): Ages {
  const moved = after.map((worker, partition) => worker !== before[partition]);
  if (!moved.includes(true)) return ages;
  return ages.map((age, partition) => (moved[partition] === true ? 0 : Math.min(OLDEST, age + 1)));
}

/** As the plan holds them: one base-36 digit a partition. */
export function packAges(ages: Ages): string {
  return ages.map((age) => age.toString(36)).join('');
}

/** Of `partitions` partitions; what the plan does not say is as old as can be. */
export function unpackAges(packed: string | undefined, partitions: number): Ages {
  return Array.from({ length: partitions }, (_, partition) => parseInt(packed?.[partition] ?? 'z', 36));
}
