import { drizzle } from 'drizzle-orm/node-postgres';
import type { Database } from './client.ts';
import { notInitialised, storeErrors } from './pg-errors.ts';
import { clusterMeta } from './schema.ts';
import type { ClusterMeta } from './stores.ts';

/** @throws StoreNotInitialisedError before cluster-init */
export async function readMeta(db: Database): Promise<ClusterMeta> {
  const [meta] = await storeErrors(
    drizzle({ client: db })
      .select({ uid: clusterMeta.uid, partitions: clusterMeta.partitions })
      .from(clusterMeta),
  );
  if (meta === undefined) throw notInitialised();
  return meta;
}
