import { connectZooKeeper } from '../../libs/cluster/connection.ts';
import { clusterPaths } from '../../libs/cluster/paths.ts';
import { runAppProcess } from '../../libs/runtime/app-process.ts';
import { readConfig } from '../../libs/runtime/config.ts';
import { settings } from '../../libs/runtime/settings.ts';
import { systemClock, systemRandom } from '../../libs/runtime/system.ts';
import { bootstrap } from './bootstrap.ts';

await runAppProcess('cluster-init', async (app) => {
  const config = readConfig(
    {
      DATABASE_URL: settings.DATABASE_URL,
      ZOOKEEPER_CONNECT: settings.ZOOKEEPER_CONNECT,
      ZOOKEEPER_AUTH: settings.ZOOKEEPER_AUTH,
      CLUSTER_NAME: settings.CLUSTER_NAME,
      SESSION_TIMEOUT_MS: settings.SESSION_TIMEOUT_MS,
      PARTITIONS: settings.PARTITIONS,
    },
    process.env,
  );
  const system = { clock: systemClock, random: systemRandom, logger: app.logger };
  const zk = connectZooKeeper({
    connectString: config.ZOOKEEPER_CONNECT,
    auth: config.ZOOKEEPER_AUTH,
    sessionTimeoutMs: config.SESSION_TIMEOUT_MS,
    ...system,
  });
  app.onClose('the ZooKeeper session', () => zk.close());
  await bootstrap({
    databaseUrl: config.DATABASE_URL,
    zk,
    auth: config.ZOOKEEPER_AUTH,
    paths: clusterPaths(config.CLUSTER_NAME),
    partitions: config.PARTITIONS,
    stopping: app.stopping,
    ...system,
  });
});
