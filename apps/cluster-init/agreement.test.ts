import { describe, expect, it } from 'vitest';
import { agree } from './agreement.ts';
import type { ClusterMeta } from './agreement.ts';

const cluster: ClusterMeta = { uid: 'u1', partitions: 64 };
const decide = (inDatabase: ClusterMeta | null, inZooKeeper: ClusterMeta | null, partitions = 64) =>
  agree({ inDatabase, inZooKeeper, partitions, newUid: 'new' });
const refusal = expect.objectContaining({ kind: 'REFUSED' }) as unknown;

describe('the uid and partition count of a cluster', () => {
  it('are made where it stands nowhere yet', () => {
    expect(decide(null, null)).toEqual({ kind: 'AGREED', meta: { uid: 'new', partitions: 64 } });
  });

  it('stay what they are', () => {
    expect(decide(cluster, cluster)).toEqual({ kind: 'AGREED', meta: cluster });
  });

  it('come from the database where ZooKeeper was wiped', () => {
    expect(decide(cluster, null)).toEqual({ kind: 'AGREED', meta: cluster });
  });

  it('are refused where the configuration asks for another count, naming both', () => {
    for (const inZooKeeper of [cluster, null]) {
      const agreement = decide(cluster, inZooKeeper, 32);
      expect(agreement).toMatchObject({ kind: 'REFUSED' });
      expect(agreement).toMatchObject({ reason: expect.stringMatching(/\b32\b.*\b64\b/) as unknown });
    }
  });

  it('are refused where the two places name two clusters, or only ZooKeeper names one', () => {
    expect(decide(cluster, { uid: 'u2', partitions: 64 })).toEqual(refusal);
    expect(decide(null, cluster)).toEqual(refusal);
  });

  it('are refused where the two places disagree on the count', () => {
    expect(decide(cluster, { uid: 'u1', partitions: 32 })).toEqual(refusal);
  });
});
