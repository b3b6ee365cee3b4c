import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startZooKeeperServer } from '../../embedded/zookeeper/server.ts';
import { systemClock, systemRandom } from '../../runtime/system.ts';
import type { TestZooKeeper } from '../zookeeper.ts';

/** The embedded server in this process, on a temporary directory so that it can be restarted. */
export async function startEmbedded(tickTimeMs: number): Promise<TestZooKeeper> {
  const dataDir = await mkdtemp(join(tmpdir(), 'zookeeper-'));
  const start = (port: number) =>
    startZooKeeperServer({ port, tickTimeMs, dataDir, clock: systemClock, random: systemRandom });
  let server = await start(0);
  const { port, connectString } = server;
  const down = () => server.close();
  const up = async () => {
    server = await start(port);
  };
  return {
    kind: 'embedded',
    connectString,
    tickTimeMs,
    get faults() {
      return server.faults;
    },
    down,
    up,
    async restart() {
      await down();
      await up();
    },
    async stop() {
      await down();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
