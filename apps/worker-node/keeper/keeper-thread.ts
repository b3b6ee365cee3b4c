/** The keeper's thread: the participant with its own connections, listening to the main thread's messages. */
import { hostname } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { connectZooKeeper } from '../../../libs/cluster/connection.ts';
import { clusterPaths } from '../../../libs/cluster/paths.ts';
import { invariant } from '../../../libs/core/invariant.ts';
import { createPool } from '../../../libs/db/client.ts';
import { postgresOwnershipStore } from '../../../libs/db/postgres-ownership-store.ts';
import { createLogger } from '../../../libs/runtime/logger.ts';
import { systemClock, systemRandom } from '../../../libs/runtime/system.ts';
import { readWorkerConfig } from '../config.ts';
import type { FromKeeper, KeeperData, ToKeeper } from './messages.ts';
import { Participant } from './participant.ts';

const port = parentPort;
invariant(port !== null, 'runs as a worker thread');
const { applicationName } = workerData as KeeperData;
const config = readWorkerConfig(process.env);
const logger = createLogger({ app: 'worker-node', level: config.LOG_LEVEL, format: config.LOG_FORMAT });
const send = (message: FromKeeper) => port.postMessage(message);

const database = { url: config.DATABASE_URL, applicationName, size: 1 };
const pool = createPool(database);
// A renewal waits neither behind an acquire that waits for a lock, nor for a connection that has gone dead.
const leasePool = createPool({ ...database, statementTimeoutMs: config.SESSION_TIMEOUT_MS / 4 });
const participant = new Participant({
  connect: () =>
    connectZooKeeper({
      connectString: config.ZOOKEEPER_CONNECT,
      auth: config.ZOOKEEPER_AUTH,
      sessionTimeoutMs: config.SESSION_TIMEOUT_MS,
      clock: systemClock,
      random: systemRandom,
      logger,
    }),
  store: postgresOwnershipStore({ db: pool }),
  leaseStore: postgresOwnershipStore({ db: leasePool }),
  paths: clusterPaths(config.CLUSTER_NAME),
  workerId: config.WORKER_ID,
  live: {
    host: hostname(),
    pid: process.pid,
    version: process.version,
    weight: config.WORKER_WEIGHT,
    ...(config.WORKER_ZONE !== '' && { zone: config.WORKER_ZONE }),
    ...(config.WORKER_TAGS !== '' && { tags: config.WORKER_TAGS.split(',') }),
  },
  sessionTimeoutMs: config.SESSION_TIMEOUT_MS,
  wedgedAfterMs: config.WEDGED_AFTER_MS,
  listener: {
    held: (held) => send({ type: 'held', held }),
    fatal: (message) => send({ type: 'fatal', message }),
  },
  clock: systemClock,
  random: systemRandom,
  logger,
});

async function finish(): Promise<void> {
  await participant.finish();
  await Promise.all([pool.end(), leasePool.end()]);
  // This thread is ended as soon as that is heard.
  logger.flush();
  send({ type: 'finished' });
  port?.close();
}

const failed = (error: unknown) => {
  logger.flush();
  send({ type: 'fatal', message: `keeper: ${String(error)}` });
};

port.on('message', (message: ToKeeper) => {
  switch (message.type) {
    case 'beat':
      participant.beat(message.inUse);
      break;
    case 'fenceLost':
      participant.fenceLost(message.parts);
      break;
    case 'leave':
      participant.leave().then(() => send({ type: 'left' }), failed);
      break;
    case 'finish':
      finish().catch(failed);
      break;
  }
});

participant.start();
