/** As both Postgres and ZooKeeper record it. */
export interface ClusterMeta {
  readonly uid: string;
  readonly partitions: number;
}

export type Agreement =
  /** What both places are to hold. */
  | { readonly kind: 'AGREED'; readonly meta: ClusterMeta }
  /** They cannot be brought to agree without harm; nothing may be changed. */
  | { readonly kind: 'REFUSED'; readonly reason: string };

/**
 * Decides what a cluster's uid and partition count are. A cluster whose ZooKeeper was wiped is restored from
 * the database. Not the other way round: workers of the lost database may still be running.
 *
 * @param partitions as configured
 * @param newUid for a cluster that stands nowhere yet
 */
export function agree({
  inDatabase,
  inZooKeeper,
  partitions,
  newUid,
}: {
  readonly inDatabase: ClusterMeta | null;
  readonly inZooKeeper: ClusterMeta | null;
  readonly partitions: number;
  readonly newUid: string;
}): Agreement {
  if (inZooKeeper !== null && inDatabase === null) {
    return refused(
      `ZooKeeper knows this cluster as ${inZooKeeper.uid}, the database knows no cluster: ` +
        'check DATABASE_URL, or choose another CLUSTER_NAME for a new cluster',
    );
  }
  if (inZooKeeper !== null && inDatabase !== null && inZooKeeper.uid !== inDatabase.uid) {
    return refused(
      `ZooKeeper holds cluster ${inZooKeeper.uid}, the database cluster ${inDatabase.uid}: ` +
        'check DATABASE_URL, ZOOKEEPER_CONNECT and CLUSTER_NAME',
    );
  }
  for (const standing of [inDatabase, inZooKeeper]) {
    if (standing !== null && standing.partitions !== partitions) {
      return refused(
        `PARTITIONS is ${partitions}, but this cluster was created with ${standing.partitions} partitions, ` +
          `which cannot be changed: set PARTITIONS=${standing.partitions}`,
      );
    }
  }
  return { kind: 'AGREED', meta: inDatabase ?? { uid: newUid, partitions } };
}

function refused(reason: string): Agreement {
  return { kind: 'REFUSED', reason };
}
