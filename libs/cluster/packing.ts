/**
 * Partitions as they stand in znodes. Plain while there are few, so that a person can read them. One worker may
 * hold all 65,536 partitions a cluster can have, and an object of that many keys is over a znode's limit: many are
 * written as the gaps between them, which are small numbers.
 */
import Type from 'typebox';
import type { Static } from 'typebox';
import { RecordError } from './codec.ts';

export type NumbersByPartition = Readonly<Record<string, number>>;

/** More than this are packed. */
const MOST_PLAIN = 1_000;

const Natural = Type.Integer({ minimum: 0 });
/** `{partition: number}`, or packed `[gap, number, gap, number, …]`. */
export const PartitionNumbers = Type.Union([
  Type.Record(Type.String({ pattern: '^(0|[1-9][0-9]*)$' }), Natural),
  Type.Array(Natural),
]);
/** `[partition, …]`, or packed `{gaps: [gap, …]}`. */
export const PartitionSet = Type.Union([Type.Array(Natural), Type.Object({ gaps: Type.Array(Natural) })]);

export function packNumbers(numbers: NumbersByPartition): Static<typeof PartitionNumbers> {
  // Keys that are whole numbers come in ascending order, whatever the order they were set in.
  const entries = Object.entries(numbers);
  if (entries.length <= MOST_PLAIN) return { ...numbers };
  let last = 0;
  return entries.flatMap(([key, value]) => {
    const gap = Number(key) - last;
    last = Number(key);
    return [gap, value];
  });
}

/** @throws RecordError naming `path` where a gap has no number */
export function unpackNumbers(packed: Static<typeof PartitionNumbers>, path: string): NumbersByPartition {
  if (!Array.isArray(packed)) return packed;
  const numbers: Record<string, number> = {};
  let partition = 0;
  for (let i = 0; i < packed.length; i += 2) {
    const value = packed[i + 1];
    if (value === undefined) throw new RecordError(`${path}: a packed partition lacks its number`);
    partition += packed[i] ?? 0;
    numbers[partition] = value;
  }
  return numbers;
}

export function packSet(partitions: readonly number[]): Static<typeof PartitionSet> {
  if (partitions.length <= MOST_PLAIN) return [...partitions];
  const sorted = [...partitions].sort((a, b) => a - b);
  return { gaps: sorted.map((partition, i) => partition - (sorted[i - 1] ?? 0)) };
}

export function unpackSet(packed: Static<typeof PartitionSet>): number[] {
  if (Array.isArray(packed)) return packed;
  let partition = 0;
  return packed.gaps.map((gap) => (partition += gap));
}
