import { GenericContainer, Wait, getContainerRuntimeClient } from 'testcontainers';
import type { TestZooKeeper } from '../zookeeper.ts';
import { freePort, untilServing } from './serving.ts';

const CLIENT_PORT = 2181;

/** The official image by testcontainers, which obeys its own environment variables (TESTCONTAINERS_…). */
export async function startContainer(tickTimeMs: number): Promise<TestZooKeeper> {
  const port = await freePort();
  const container = await new GenericContainer('zookeeper:3.9')
    .withEnvironment({
      ZOO_TICK_TIME: String(tickTimeMs),
      ZOO_ADMINSERVER_ENABLED: 'false',
      ZOO_4LW_COMMANDS_WHITELIST: '*',
      ZOO_MAX_CLIENT_CNXNS: '0',
    })
    .withExposedPorts({ container: CLIENT_PORT, host: port })
    .withWaitStrategy(Wait.forListeningPorts())
    .start();
  const host = container.getHost();
  const { container: engine } = await getContainerRuntimeClient();
  const handle = engine.getById(container.getId());
  const down = async () => {
    await handle.stop({ t: 0 });
  };
  const up = async () => {
    await handle.start();
    await untilServing(host, port);
  };
  await untilServing(host, port);
  let stopped: Promise<unknown> | undefined;
  return {
    kind: 'testcontainers',
    connectString: `${host}:${port}`,
    tickTimeMs,
    down,
    up,
    async restart() {
      await down();
      await up();
    },
    async stop() {
      stopped ??= container.stop({ timeout: 0 });
      await stopped;
    },
  };
}
