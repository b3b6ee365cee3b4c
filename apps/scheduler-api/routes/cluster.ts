import type { TaskStore } from '../../../libs/db/stores.ts';
import type { Api } from '../app.ts';
import type { InTime } from '../deadline.ts';
import { Cluster, presentCluster } from '../schemas.ts';

export function addClusterRoutes(
  api: Api,
  { store, inTime }: { readonly store: TaskStore; readonly inTime: InTime },
): void {
  api.get('/cluster', { schema: { response: { 200: Cluster } } }, async () =>
    presentCluster(await inTime(store.cluster())),
  );
}
