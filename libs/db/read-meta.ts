import type { Database } from './client.ts';
import { notInitialised } from './pg-errors.ts';
import { loadStatement, run } from './statement.ts';
import type { ClusterMeta } from './stores.ts';

// Not by drizzle, which takes 0.3 s to load: a worker does without it.
const readMetaStatement = loadStatement('read-meta');

/** @throws StoreNotInitialisedError before cluster-init */
export async function readMeta(db: Database): Promise<ClusterMeta> {
  const [meta] = await run<ClusterMeta & object>(db, readMetaStatement, []);
  if (meta === undefined) throw notInitialised();
  return meta;
}
