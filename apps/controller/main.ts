import { hostname } from 'node:os';
import { connectZooKeeper } from '../../libs/cluster/connection.ts';
import { clusterPaths } from '../../libs/cluster/paths.ts';
import { runAppProcess } from '../../libs/runtime/app-process.ts';
import { readConfig } from '../../libs/runtime/config.ts';
import { settings } from '../../libs/runtime/settings.ts';
import { systemClock, systemRandom } from '../../libs/runtime/system.ts';
import { runController } from './controller.ts';

await runAppProcess('controller', async (app) => {
  const config = readConfig(
    {
      ZOOKEEPER_CONNECT: settings.ZOOKEEPER_CONNECT,
      ZOOKEEPER_AUTH: settings.ZOOKEEPER_AUTH,
      CLUSTER_NAME: settings.CLUSTER_NAME,
      SESSION_TIMEOUT_MS: settings.SESSION_TIMEOUT_MS,
      CONTROLLER_ID: settings.CONTROLLER_ID,
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
  await runController(
    { zk, paths: clusterPaths(config.CLUSTER_NAME), id: config.CONTROLLER_ID, host: hostname(), ...system },
    app.stopping,
  );
});
