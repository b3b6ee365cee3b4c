import { readConfig } from '../../libs/runtime/config.ts';
import { settings } from '../../libs/runtime/settings.ts';

/** @throws ConfigError naming every variable that is missing or wrong */
export function readWorkerConfig(env: NodeJS.ProcessEnv) {
  return readConfig(
    {
      DATABASE_URL: settings.DATABASE_URL,
      DATABASE_POOL_SIZE: settings.DATABASE_POOL_SIZE,
      ZOOKEEPER_CONNECT: settings.ZOOKEEPER_CONNECT,
      ZOOKEEPER_AUTH: settings.ZOOKEEPER_AUTH,
      CLUSTER_NAME: settings.CLUSTER_NAME,
      SESSION_TIMEOUT_MS: settings.SESSION_TIMEOUT_MS,
      WORKER_ID: settings.WORKER_ID,
      DEFAULT_HANDLER: settings.DEFAULT_HANDLER,
      HANDLERS_DIR: settings.HANDLERS_DIR,
      WORKER_ZONE: settings.WORKER_ZONE,
      WORKER_WEIGHT: settings.WORKER_WEIGHT,
      WORKER_TAGS: settings.WORKER_TAGS,
      WORKER_CONCURRENCY: settings.WORKER_CONCURRENCY,
      SHUTDOWN_GRACE_MS: settings.SHUTDOWN_GRACE_MS,
      WEDGED_AFTER_MS: settings.WEDGED_AFTER_MS,
      RETENTION_DAYS: settings.RETENTION_DAYS,
      LOG_LEVEL: settings.LOG_LEVEL,
      LOG_FORMAT: settings.LOG_FORMAT,
    },
    env,
  );
}
