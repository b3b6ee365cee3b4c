import { inTransaction, withConnection } from './client.ts';
import { lockClusterInit } from './migrate.ts';
import type { ClusterMeta } from './stores.ts';

/** The cluster exists, with another number of partitions. Nothing was changed. */
export class PartitionCountError extends Error {
  override name = 'PartitionCountError';
  readonly stored: ClusterMeta;
  readonly requested: number;

  constructor(stored: ClusterMeta, requested: number) {
    super(
      `this cluster has ${stored.partitions} partitions, which are fixed once it exists; it cannot get ${requested}`,
    );
    this.stored = stored;
    this.requested = requested;
  }
}

/**
 * Records what the cluster is, in a migrated database, and gives each partition its owner row. A cluster that
 * exists with the same number of partitions stays as it is, its uid included.
 *
 * @param options.uid of a new cluster
 * @returns what the database holds now: the uid is that of the first call
 * @throws PartitionCountError, StoreNotInitialisedError before `migrate`, StoreUnavailableError
 */
export function bootstrapDatabase(options: {
  readonly url: string;
  readonly uid: string;
  readonly partitions: number;
}): Promise<ClusterMeta> {
  return withConnection(options.url, (client) =>
    inTransaction(client, async () => {
      await lockClusterInit(client);
      await client.query(
        'INSERT INTO cluster_meta (uid, partitions) VALUES ($1, $2) ON CONFLICT DO NOTHING',
        [options.uid, options.partitions],
      );
      const { rows } = await client.query<ClusterMeta>('SELECT uid, partitions FROM cluster_meta');
      const [stored] = rows as [ClusterMeta];
      if (stored.partitions !== options.partitions) throw new PartitionCountError(stored, options.partitions);
      await client.query(
        `INSERT INTO partition_owner (partition_id) SELECT generate_series(0, $1::integer - 1)
         ON CONFLICT DO NOTHING`,
        [stored.partitions],
      );
      return stored;
    }),
  );
}
