import { createHash } from 'node:crypto';
import { invariant } from './invariant.ts';

const MULTIPLIER = 2_862_933_555_777_941_757n;

/**
 * Jump consistent hash: the bucket of `key`. From P to P' > P buckets only 1 − P/P' of the keys move, all of
 * them into the new buckets.
 * Source: J. Lamping, E. Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014.
 *
 * @param key an unsigned 64-bit integer; higher bits are dropped
 * @param buckets at least 1, below 2^31
 * @returns a bucket in [0, buckets)
 */
export function jumpHash(key: bigint, buckets: number): number {
  invariant(Number.isInteger(buckets) && buckets >= 1 && buckets < 2 ** 31, 'buckets must be in [1, 2^31)');
  let state = BigInt.asUintN(64, key);
  let bucket = 0;
  let next = 0;
  while (next < buckets) {
    bucket = next;
    state = BigInt.asUintN(64, state * MULTIPLIER + 1n);
    next = Math.floor((bucket + 1) * (2 ** 31 / (Number(state >> 33n) + 1)));
  }
  return bucket;
}

/**
 * The partition of a task: `jumpHash(first 8 bytes of SHA-256(key), partitions)`.
 * Postgres computes the same in the SQL function `partition_of`; a test holds the two together.
 *
 * @param key the task's key, or its id in decimal where it has none
 */
export function partitionOf(key: string, partitions: number): number {
  return jumpHash(createHash('sha256').update(key, 'utf8').digest().readBigUInt64BE(0), partitions);
}
