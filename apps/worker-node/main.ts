import { resolve } from 'node:path';
import { createPool, workerApplicationName } from '../../libs/db/client.ts';
import { postgresExecutionStore } from '../../libs/db/postgres-execution-store.ts';
import { CHECK_CHANNEL, TaskDueListener } from '../../libs/db/task-due-listener.ts';
import { runAppProcess } from '../../libs/runtime/app-process.ts';
import { settings } from '../../libs/runtime/settings.ts';
import { systemClock, systemRandom } from '../../libs/runtime/system.ts';
import { readWorkerConfig } from './config.ts';
import { loadHandlers } from './handlers/load.ts';
import { handlerRegistry } from './handlers/registry.ts';
import { KeeperClient } from './keeper/keeper-client.ts';
import { Worker } from './worker.ts';

const DAY_MS = 86_400_000;
const ONLY_THESE = 'those are .ts, .mts, .js and .mjs files, which lie in no folder within it';

await runAppProcess('worker-node', async ({ logger, stopping, onClose }) => {
  const config = readWorkerConfig(process.env);
  const { HANDLERS_DIR } = config;
  const mayBeMissing = HANDLERS_DIR === settings.HANDLERS_DIR.default;
  const { handlers, ignored } = await loadHandlers(resolve(HANDLERS_DIR), mayBeMissing);
  if (ignored.length > 0)
    logger.warn({ ignored }, `not read as handlers from ${HANDLERS_DIR}: ${ONLY_THESE}`);
  if (handlers.size > 0) logger.info({ names: [...handlers.keys()] }, `handlers loaded from ${HANDLERS_DIR}`);
  const registry = handlerRegistry({
    ...{ clock: systemClock, logger },
    ...{ own: handlers.values(), others: config.DEFAULT_HANDLER },
  });
  onClose('handler threads', () => registry.close());
  const applicationName = workerApplicationName(systemRandom.uuid());
  const pool = createPool({ url: config.DATABASE_URL, applicationName, size: config.DATABASE_POOL_SIZE });
  onClose('database pool', () => pool.end());

  const worker = new Worker({
    workerId: config.WORKER_ID,
    store: postgresExecutionStore({ db: pool }),
    handlerFor: registry.handlerFor,
    handledNames: registry.handledNames,
    concurrency: config.WORKER_CONCURRENCY,
    graceMs: config.SHUTDOWN_GRACE_MS,
    keepMs: config.RETENTION_DAYS === 0 ? undefined : config.RETENTION_DAYS * DAY_MS,
    clock: systemClock,
    random: systemRandom,
    logger,
    startKeeper: (listener) => new KeeperClient(listener, applicationName),
  });
  const listener = new TaskDueListener({
    url: config.DATABASE_URL,
    applicationName: `${applicationName.slice(0, 52)} listener`,
    onDue: (partitions, sinceMs) => worker.expectWork(partitions, sinceMs),
    onCancel: (id, attempt) => worker.cancelled(id, attempt),
    check: () => pool.query(`NOTIFY ${CHECK_CHANNEL}`),
    onListening: (listening) => worker.listening(listening),
    clock: systemClock,
    random: systemRandom,
  });
  onClose('task listener', () => listener.close());

  const stopped = new Promise<void>((resolve, reject) => {
    stopping.addEventListener('abort', () => void worker.stop().then(resolve, reject), { once: true });
  });
  logger.info({ workerId: config.WORKER_ID }, 'worker starting');
  await Promise.race([worker.run().then(() => stopped), stopped]);
});
