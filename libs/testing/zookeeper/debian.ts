import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEBIAN_ZOOKEEPER_JAR } from '../real-servers.ts';
import type { TestZooKeeper } from '../zookeeper.ts';
import { freePort, untilServing } from './serving.ts';

/** A short start and a small footprint; written data need not outlive the machine. */
const JAVA_OPTIONS = [
  '-Xmx256m',
  '-XX:+UseSerialGC',
  '-XX:TieredStopAtLevel=1',
  '-Dzookeeper.jmx.log4j.disable=true',
  '-Dzookeeper.forceSync=no',
  '-Dzookeeper.preAllocSize=1024',
];
const CLASS_PATH = `${DEBIAN_ZOOKEEPER_JAR}:/usr/share/java/slf4j-simple.jar`;

/** Ends java when its own input ends: however the test process dies, the server goes with it. */
const JAVA_WHILE_INPUT_LASTS = 'java "$@" & cat >/dev/null; kill -9 $!; wait';

/** Debian's package `zookeeper`, run as a child process. */
export async function startDebian(tickTimeMs: number): Promise<TestZooKeeper> {
  const port = await freePort();
  const directory = await mkdtemp(join(tmpdir(), 'zookeeper-'));
  const config = join(directory, 'zoo.cfg');
  const settings = {
    tickTime: tickTimeMs,
    dataDir: join(directory, 'data'),
    clientPort: port,
    clientPortAddress: '127.0.0.1',
    'admin.enableServer': false,
    maxClientCnxns: 0,
    '4lw.commands.whitelist': '*',
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
  await writeFile(config, lines.join(''));
  const main = 'org.apache.zookeeper.server.quorum.QuorumPeerMain';
  const args = [...JAVA_OPTIONS, '-cp', CLASS_PATH, main, config];

  let shell: ChildProcess | undefined;
  const up = async () => {
    shell = spawn('sh', ['-c', JAVA_WHILE_INPUT_LASTS, 'sh', ...args], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    await untilServing('127.0.0.1', port);
  };
  const down = async () => {
    if (shell === undefined) return;
    const exited = once(shell, 'exit');
    shell.stdin?.end();
    shell = undefined;
    await exited;
  };
  const stop = async () => {
    await down();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await up();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    kind: 'debian',
    connectString: `127.0.0.1:${port}`,
    tickTimeMs,
    down,
    up,
    async restart() {
      await down();
      await up();
    },
    stop,
  };
}
