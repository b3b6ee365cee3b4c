/** The embedded ZooKeeper as a process of its own: `zookeeper-process.ts DATADIR` tells its parent where it listens. */
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { runAppProcess, StartupError } from '../../runtime/app-process.ts';
import { systemClock, systemRandom } from '../../runtime/system.ts';
import { ZooKeeperServerError } from '../zookeeper/errors.ts';
import { startZooKeeperServer } from '../zookeeper/server.ts';

/** Short, as in docker-compose.yml: sessions expire on a tick. */
const TICK_TIME_MS = 500;

await runAppProcess('zookeeper', async (app) => {
  const { logger, stopping } = app;
  const dataDir = process.argv[2];
  if (dataDir === undefined) throw new StartupError('which data directory?');
  await mkdir(dataDir, { recursive: true });
  const server = await startZooKeeperServer({
    port: 0,
    tickTimeMs: TICK_TIME_MS,
    dataDir,
    // Whoever used this directory before has ended with its launcher.
    sessionsOnOpen: 'expire',
    clock: systemClock,
    random: systemRandom,
  }).catch((error: unknown) => {
    throw error instanceof ZooKeeperServerError ? new StartupError(error.message) : error;
  });
  app.onClose('server', () => server.close());
  logger.info(`listening on ${server.connectString}, data in ${dataDir}`);
  process.send?.(server.connectString);
  if (!stopping.aborted) await once(stopping, 'abort');
});
