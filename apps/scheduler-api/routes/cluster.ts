import type { TaskStore } from '../../../libs/db/stores.ts';
import type { Api } from '../app.ts';
import { Cluster, presentCluster } from '../schemas.ts';

export function addClusterRoutes(api: Api, { store }: { readonly store: TaskStore }): void {
  api.get('/cluster', { schema: { response: { 200: Cluster } } }, async () =>
    presentCluster(await store.cluster()),
  );
}
