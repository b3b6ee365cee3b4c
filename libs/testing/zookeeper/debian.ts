import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEBIAN_ZOOKEEPER_JAR } from '../real-servers.ts';
import type { TestZooKeeper } from '../zookeeper.ts';
import { freePort, freePorts, modeOf, untilServing } from './serving.ts';

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

interface Server {
  readonly up: () => Promise<void>;
  readonly down: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** A server that is not started yet, with a directory of its own. */
async function prepareServer(
  port: number,
  settings: Readonly<Record<string, string | number>>,
  myid?: number,
): Promise<Server> {
  const directory = await mkdtemp(join(tmpdir(), 'zookeeper-'));
  const config = join(directory, 'zoo.cfg');
  const all = {
    dataDir: directory,
    clientPort: port,
    clientPortAddress: '127.0.0.1',
    'admin.enableServer': 'false',
    maxClientCnxns: 0,
    '4lw.commands.whitelist': '*',
    ...settings,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}=${value}\n`);
  await writeFile(config, lines.join(''));
  if (myid !== undefined) await writeFile(join(directory, 'myid'), String(myid));
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
  return { up, down, stop };
}

/** Debian's package `zookeeper`, run as a child process. */
export async function startDebian(tickTimeMs: number): Promise<TestZooKeeper> {
  const port = await freePort();
  const { up, down, stop } = await prepareServer(port, { tickTime: tickTimeMs });
  try {
    await up();
  } catch (error) {
    await stop();
    throw error;
  }
  const connectString = `127.0.0.1:${port}`;
  const restart = async () => {
    await down();
    await up();
  };
  return { kind: 'debian', connectString, tickTimeMs, down, up, restart, stop };
}

export interface EnsembleMember {
  readonly connectString: string;
  /** Kills the server. */
  readonly down: () => Promise<void>;
  /** Starts it again; resolves once it serves clients, so not without a quorum. */
  readonly up: () => Promise<void>;
  /** As it says itself; undefined where it does not serve. */
  readonly mode: () => Promise<'leader' | 'follower' | undefined>;
}

export interface Ensemble {
  readonly members: readonly EnsembleMember[];
  readonly stop: () => Promise<void>;
}

/** Three of Debian's servers that elect a leader among them. */
export async function startDebianEnsemble(tickTimeMs: number): Promise<Ensemble> {
  const ids = [1, 2, 3];
  const ports = await freePorts(3 * ids.length);
  const peers = ids.map((id) => [`server.${id}`, `127.0.0.1:${ports[id + 2]}:${ports[id + 5]}`] as const);
  const settings = {
    tickTime: tickTimeMs,
    initLimit: 20,
    syncLimit: 10,
    ...Object.fromEntries<string>(peers),
  };
  const servers = await Promise.all(ids.map((id) => prepareServer(ports[id - 1] ?? 0, settings, id)));
  const stop = async () => {
    await Promise.all(servers.map((server) => server.stop()));
  };
  try {
    await Promise.all(servers.map((server) => server.up()));
  } catch (error) {
    await stop();
    throw error;
  }
  const members = servers.map(({ up, down }, index): EnsembleMember => {
    const port = ports[index] ?? 0;
    return { connectString: `127.0.0.1:${port}`, up, down, mode: () => modeOf('127.0.0.1', port) };
  });
  return { members, stop };
}
