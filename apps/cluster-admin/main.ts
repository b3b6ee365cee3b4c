/** `npm run cluster`: what an administrator sees of a cluster, and tells it. */
import { connectZooKeeper } from '../../libs/cluster/connection.ts';
import { whenConnected } from '../../libs/cluster/operations.ts';
import { clusterPaths } from '../../libs/cluster/paths.ts';
import { RecordError } from '../../libs/cluster/records.ts';
import { isZooKeeperError } from '../../libs/cluster/zookeeper.ts';
import { ConfigError, readConfig } from '../../libs/runtime/config.ts';
import { settings } from '../../libs/runtime/settings.ts';
import { systemClock, systemRandom } from '../../libs/runtime/system.ts';
import { administer, CommandFailure } from './admin.ts';
import type { Answer } from './admin.ts';
import { readCommandLine } from './command-line.ts';
import type { Command } from './command-line.ts';

const CONNECT_DEADLINE_MS = 5_000;

// Whoever read our lines may have read enough.
process.stdout.on('error', () => undefined);
process.exit(await main());

async function main(): Promise<number> {
  const commandLine = readCommandLine(process.argv.slice(2));
  if (commandLine.kind === 'help') {
    console.log(commandLine.text);
    return 0;
  }
  if (commandLine.kind === 'invalid') {
    console.error(`${commandLine.message} (npm run cluster -- --help lists the commands)`);
    return 2;
  }
  try {
    const { text, json, warnings } = await run(commandLine.command);
    for (const warning of warnings) console.error(`warning: ${warning}`);
    console.log(commandLine.json ? JSON.stringify(json, null, 2) : text);
    return 0;
  } catch (error) {
    if (error instanceof ConfigError) {
      console.error(error.faults.join('\n'));
      return 2;
    }
    console.error(explain(error));
    return 1;
  }
}

async function run(command: Command): Promise<Answer> {
  const config = readConfig(
    {
      ZOOKEEPER_CONNECT: settings.ZOOKEEPER_CONNECT,
      ZOOKEEPER_AUTH: settings.ZOOKEEPER_AUTH,
      CLUSTER_NAME: settings.CLUSTER_NAME,
      SESSION_TIMEOUT_MS: settings.SESSION_TIMEOUT_MS,
    },
    process.env,
  );
  const system = { clock: systemClock, random: systemRandom };
  const zk = connectZooKeeper({
    connectString: config.ZOOKEEPER_CONNECT,
    auth: config.ZOOKEEPER_AUTH,
    sessionTimeoutMs: config.SESSION_TIMEOUT_MS,
    ...system,
  });
  try {
    await whenConnected(zk, { clock: systemClock, timeoutMs: CONNECT_DEADLINE_MS }).catch(() => {
      const within = `within ${CONNECT_DEADLINE_MS / 1_000} s`;
      throw new CommandFailure(`no ZooKeeper answers at ${config.ZOOKEEPER_CONNECT} ${within}`);
    });
    const cluster = config.CLUSTER_NAME;
    const paths = clusterPaths(cluster);
    return await administer({ zk, paths, cluster, timeoutMs: CONNECT_DEADLINE_MS, ...system }, command);
  } catch (error) {
    if (!isZooKeeperError(error, 'NO_AUTH')) throw error;
    const whose =
      config.ZOOKEEPER_AUTH === undefined
        ? 'to credentials, and ZOOKEEPER_AUTH is not set'
        : 'to others than ZOOKEEPER_AUTH';
    throw new CommandFailure(`no right to ${error.operation} ${error.path ?? ''}: reserved ${whose}`);
  } finally {
    await zk.close();
  }
}

/** In one line where it is expected, with its stack where it is not. */
function explain(error: unknown): string {
  if (error instanceof CommandFailure || error instanceof RecordError || isZooKeeperError(error)) {
    return error.message;
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
