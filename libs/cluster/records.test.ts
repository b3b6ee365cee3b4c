import { describe, expect, it } from 'vitest';
import { ackCodec, grantsCodec, liveCodec, MAX_ZNODE_BYTES, planCodec, workerWishCodec } from './records.ts';

/** The most a cluster may have (`/meta`). */
const PARTITIONS = 65_536;
const all = Array.from({ length: PARTITIONS }, (_, partition) => partition);
const byPartition = (value: number) => Object.fromEntries(all.map((partition) => [partition, value]));

describe('the largest cluster', () => {
  it('has a plan that fits: 65,536 partitions on 2,000 workers with ids of 36 characters, moved 99,999 times', () => {
    const workers = Array.from({ length: 2_000 }, (_, i) => `worker-${String(i).padStart(29, '0')}`);
    const data = planCodec.encode({
      rev: 9_999_999,
      workers,
      target: all.map((partition) => partition % workers.length),
      epoch: all.map(() => 99_999),
      ages: 'z'.repeat(PARTITIONS),
      operation: '00000000-0000-0000-0000-000000000000',
      quarantined: Object.fromEntries(workers.slice(0, 666).map((id) => [id, 1_700_000_000_000])),
    });
    expect(data.length).toBeLessThan(MAX_ZNODE_BYTES);
  });

  it('may stand on one worker: its grants and its ack fit, and come back as they were', () => {
    const grants = {
      incarnation: 'i1',
      rev: 9_999_999,
      parts: byPartition(1_234_567),
      revoked: {},
    };
    expect(grantsCodec.decode(grantsCodec.encode(grants), '/g')).toMatchObject(grants);
    const taken = { ...grants, parts: {}, revoked: byPartition(9_999_999) };
    expect(grantsCodec.decode(grantsCodec.encode(taken), '/g')).toMatchObject(taken);
    const ack = { rev: 9_999_999, owned: byPartition(1_234_567), releasing: all, fenced: {} };
    expect(ackCodec.decode(ackCodec.encode(ack), '/a')).toMatchObject(ack);
  });
});

describe('partitions in a record', () => {
  it('stay readable while they are few', () => {
    const grants = { incarnation: 'i1', rev: 1, parts: { 3: 1, 70: 2 }, revoked: { 5: 1 } };
    expect(JSON.parse(grantsCodec.encode(grants).toString())).toEqual({ v: 1, ...grants });
  });

  it('are packed where they are many, whatever the gaps between them', () => {
    const sparse = all.filter((partition) => partition % 37 === 5);
    const parts = Object.fromEntries(sparse.map((partition) => [partition, partition % 11]));
    const grants = { incarnation: 'i1', rev: 1, parts, revoked: {} };
    const data = grantsCodec.encode(grants);
    expect(data.toString()).toContain('"parts":[5,5,37,9,');
    expect(grantsCodec.decode(data, '/g')).toMatchObject(grants);
    const ack = { rev: 1, owned: {}, releasing: sparse.toReversed(), fenced: {} };
    expect(ackCodec.decode(ackCodec.encode(ack), '/a').releasing).toEqual(sparse);
  });

  it('that are packed in halves are refused', () => {
    const data = Buffer.from('{"v":1,"incarnation":"i","rev":1,"parts":[1,2,3],"revoked":{}}');
    expect(() => grantsCodec.decode(data, '/grants/a')).toThrow(
      '/grants/a: a packed partition lacks its number',
    );
  });
});

describe('a worker’s records', () => {
  const live = { host: 'h', pid: 1, version: 'v20' };
  it.each([{}, { zone: 'eu-1', weight: 7, tags: ['gpu', 'ssd'] }])('may say %j of itself', (self) => {
    expect(liveCodec.decode(liveCodec.encode({ ...live, ...self }), '/l')).toMatchObject(self);
  });
  it.each([{ weight: 0 }, { weight: 1.5 }, { zone: '' }, { zone: 'a/b' }, { tags: 'gpu' }, { wish: 'FLY' }])(
    'may not wish %j',
    (wish) => {
      const data = Buffer.from(JSON.stringify({ v: 1, ...wish }));
      expect(() => workerWishCodec.decode(data, '/workers/a')).toThrow(
        '/workers/a: not a worker wish record',
      );
    },
  );
});
