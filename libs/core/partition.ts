import { createSHA256 } from 'hash-wasm';
import { invariant } from './invariant.ts';

/** The multiplier of the hash's generator, 2862933555777941757, in halves of 32 bits. */
const MULTIPLIER_HIGH = 0x27bb2ee6;
const MULTIPLIER_LOW = 0x87b0b0fd;

/** Node's own takes three times as long for texts as short as these. */
const sha256 = await createSHA256();

/**
 * Jump consistent hash: the bucket of a key of 64 bits. From P to P' > P buckets only 1 − P/P' of the keys move, all of
 * them into the new buckets.
 * Source: J. Lamping, E. Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014.
 *
 * @param high the key's upper 32 bits, signed or not
 * @param low the lower ones
 * @param buckets at least 1, below 2^31
 * @returns a bucket in [0, buckets)
 */
export function jumpHash(high: number, low: number, buckets: number): number {
  invariant(Number.isInteger(buckets) && buckets >= 1 && buckets < 2 ** 31, 'buckets must be in [1, 2^31)');
  let bucket = 0;
  let next = 0;
  while (next < buckets) {
    bucket = next;
    // state · multiplier + 1, of which 64 bits are kept: in bigints it takes several times as long.
    high = Math.imul(high, MULTIPLIER_LOW) + Math.imul(low, MULTIPLIER_HIGH) + upperHalf(low, MULTIPLIER_LOW);
    low = (Math.imul(low, MULTIPLIER_LOW) + 1) | 0;
    high = (low === 0 ? high + 1 : high) | 0;
    next = Math.floor((bucket + 1) * (2 ** 31 / ((high >>> 1) + 1)));
  }
  return bucket;
}

/**
 * The upper 32 bits of the product of two unsigned numbers of 32.
 * Source: H. S. Warren, "Hacker's Delight", 2nd edition, section 8-2.
 */
function upperHalf(a: number, b: number): number {
  const [aLow, aHigh, bLow, bHigh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const first = aHigh * bLow + ((aLow * bLow) >>> 16);
  const second = aLow * bHigh + (first & 0xffff);
  return aHigh * bHigh + (first >>> 16) + (second >>> 16);
}

/**
 * The partition of a task: `jumpHash(first 8 bytes of SHA-256(key), partitions)`.
 * Postgres computes the same in the SQL function `partition_of`; a test holds the two together.
 *
 * @param key the task's key, or its id in decimal where it has none
 */
export function partitionOf(key: string, partitions: number): number {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = sha256.init().update(key).digest('binary');
  return jumpHash((a << 24) | (b << 16) | (c << 8) | d, (e << 24) | (f << 16) | (g << 8) | h, partitions);
}
