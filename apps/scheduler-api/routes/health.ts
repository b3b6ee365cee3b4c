import type { Api } from '../app.ts';
import type { InTime } from '../deadline.ts';
import { Health } from '../schemas.ts';
import type { StoreAvailability } from '../store-availability.ts';

export function addHealthRoutes(
  api: Api,
  { availability, inTime }: { readonly availability: StoreAvailability; readonly inTime: InTime },
): void {
  const schema = { response: { 200: Health } };

  // The process is alive: true whenever it can be said.
  api.get('/healthz', { schema }, () => ({ status: 'ok' }));

  // Requests can be served: the database answers and cluster-init has been.
  api.get('/readyz', { schema }, async () => {
    await inTime(availability.check());
    return { status: 'ready' };
  });
}
