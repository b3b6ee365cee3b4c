import { once } from 'node:events';
import { createPool } from '../../libs/db/client.ts';
import { postgresTaskStore } from '../../libs/db/postgres-task-store.ts';
import { runAppProcess, StartupError } from '../../libs/runtime/app-process.ts';
import { readConfig } from '../../libs/runtime/config.ts';
import { settings } from '../../libs/runtime/settings.ts';
import { systemClock } from '../../libs/runtime/system.ts';
import type { Api } from './app.ts';
import { API_LIMITS, buildApp } from './app.ts';

await runAppProcess('scheduler-api', async (life) => {
  const { logger, stopping } = life;
  const { HOST, PORT, DATABASE_URL, DATABASE_POOL_SIZE, IDEMPOTENCY_KEY_HOURS } = readConfig(
    {
      HOST: settings.HOST,
      PORT: settings.PORT,
      DATABASE_URL: settings.DATABASE_URL,
      DATABASE_POOL_SIZE: settings.DATABASE_POOL_SIZE,
      IDEMPOTENCY_KEY_HOURS: settings.IDEMPOTENCY_KEY_HOURS,
    },
    process.env,
  );
  const pool = createPool({ url: DATABASE_URL, applicationName: 'scheduler-api', size: DATABASE_POOL_SIZE });
  life.onClose('the database connections', () => pool.end());
  const limits = {
    idempotencyKeyMs: IDEMPOTENCY_KEY_HOURS * 3_600_000,
    // Half of the connections are for everybody else.
    bulkWriters: Math.min(API_LIMITS.bulkWriters, Math.ceil(DATABASE_POOL_SIZE / 2)),
  };
  const api = buildApp({ store: postgresTaskStore({ db: pool }), clock: systemClock, logger, limits });
  life.onClose('the HTTP server', () => api.close());
  logger.info(`listening on ${await listen(api, HOST, PORT)}`);
  if (!stopping.aborted) await once(stopping, 'abort');
});

/**
 * @returns the URL listened on
 * @throws StartupError where the address cannot be had
 */
async function listen(api: Api, host: string, port: number): Promise<string> {
  try {
    return await api.listen({ host, port });
  } catch (error) {
    switch ((error as NodeJS.ErrnoException).code) {
      case 'EADDRINUSE':
        throw new StartupError(`port ${port} on ${host} is taken: end what listens there, or set PORT`);
      case 'EACCES':
        throw new StartupError(`not allowed to listen on port ${port}: set PORT to one above 1023`);
      case 'EADDRNOTAVAIL':
      case 'ENOTFOUND':
      case 'EAI_AGAIN':
        throw new StartupError(`${host} is no address of this machine: set HOST to one that is`);
      default:
        throw error;
    }
  }
}
