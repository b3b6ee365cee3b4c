import { describe, expect, it } from 'vitest';
import { jumpHash, partitionOf } from './partition.ts';

/** mulberry32: the same keys in every run. */
function seededKeys(count: number, seed: number): bigint[] {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t ^= t + Math.imul(t ^ (t >>> 7), 61 | t);
    return BigInt((t ^ (t >>> 14)) >>> 0);
  };
  return Array.from({ length: count }, () => (next() << 32n) | next());
}

const lowHalf = (key: bigint) => Number(BigInt.asUintN(32, key));
const jump = (key: bigint, buckets: number) => jumpHash(lowHalf(key >> 32n), lowHalf(key), buckets);

/** As it is published, in integers of any length. */
function published(key: bigint, buckets: number): number {
  let state = BigInt.asUintN(64, key);
  let bucket = 0;
  let next = 0;
  while (next < buckets) {
    bucket = next;
    state = BigInt.asUintN(64, state * 2_862_933_555_777_941_757n + 1n);
    next = Math.floor((bucket + 1) * (2 ** 31 / (Number(state >> 33n) + 1)));
  }
  return bucket;
}

describe('jump consistent hash', () => {
  it.each([
    // Guava, HashingTest.testConsistentHash_linearCongruentialGeneratorCompatibility
    [10_863_919_174_838_991n, 11, 6],
    [2_016_238_256_797_177_309n, 11, 3],
    [1_673_758_223_894_951_030n, 11, 5],
    [2n, 100_001, 80_343],
    [2_201n, 100_001, 22_152],
    [2_202n, 100_001, 15_018],
    // jumphash for Rust, also in the tests of ClickHouse
    [1n, 1, 0],
    [42n, 57, 43],
    [0xdead10ccn, 1, 0],
    [0xdead10ccn, 666, 361],
    [256n, 1_024, 520],
  ])('gives key %d among %i buckets the published bucket %i', (key, buckets, bucket) => {
    expect(jump(key, buckets)).toBe(bucket);
  });

  it('matches the published table of keys 0 to 19 among 100 buckets', () => {
    expect(Array.from({ length: 20 }, (_, key) => jump(BigInt(key), 100))).toEqual([
      0, 55, 62, 8, 45, 59, 86, 97, 82, 59, 73, 37, 17, 56, 86, 21, 90, 37, 38, 83,
    ]);
  });

  it('carries from half to half as 64 bits do', () => {
    // The lower half of the first, multiplied, is 2^32 − 1: the 1 that is added carries.
    const edges = [0x1234_5678_6663_13abn, 0n, 1n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n];
    for (const key of [...edges, ...seededKeys(20_000, 3)])
      for (const buckets of [3, 64, 100_001]) expect(jump(key, buckets)).toBe(published(key, buckets));
  });

  it('takes keys as unsigned: 2^64 − 1 is a key like any other', () => {
    expect(jump(2n ** 64n - 1n, 10)).toBe(9);
    expect(jump(-1n, 10)).toBe(9);
  });

  it.each([
    [64, 65],
    [64, 96],
    [64, 128],
    [3, 4],
  ])('from %i to %i buckets moves only the share of the new buckets, and only into them', (from, to) => {
    const keys = seededKeys(20_000, from * to);
    const moved = keys.filter((key) => jump(key, from) !== jump(key, to));
    expect(moved.every((key) => jump(key, to) >= from)).toBe(true);
    expect(Math.abs(moved.length / keys.length - (1 - from / to))).toBeLessThan(0.015);
  });

  it.each([0, -1, 1.5, Number.NaN, 2 ** 31])('refuses %d buckets', (buckets) => {
    expect(() => jump(1n, buckets)).toThrow('buckets');
  });
});

describe('the partition of a key', () => {
  it('hashes the first 8 bytes of SHA-256, big-endian', () => {
    // SHA-256("abc") begins ba7816bf 8f01cfea.
    expect(partitionOf('abc', 1_024)).toBe(jump(0xba78_16bf_8f01_cfean, 1_024));
  });

  it('spreads 10,000 random keys over 64 partitions within 25 % of the mean', () => {
    const counts = new Array<number>(64).fill(0);
    for (const key of seededKeys(10_000, 7)) {
      const partition = partitionOf(key.toString(36), 64);
      counts[partition] = (counts[partition] ?? 0) + 1;
    }
    const mean = 10_000 / 64;
    expect(Math.min(...counts)).toBeGreaterThanOrEqual(mean * 0.75);
    expect(Math.max(...counts)).toBeLessThanOrEqual(mean * 1.25);
  });

  it('spreads consecutive ids as well', () => {
    const counts = new Array<number>(64).fill(0);
    for (let id = 1; id <= 10_000; id++) {
      const partition = partitionOf(String(id), 64);
      counts[partition] = (counts[partition] ?? 0) + 1;
    }
    const mean = 10_000 / 64;
    expect(Math.min(...counts)).toBeGreaterThanOrEqual(mean * 0.75);
    expect(Math.max(...counts)).toBeLessThanOrEqual(mean * 1.25);
  });
});
