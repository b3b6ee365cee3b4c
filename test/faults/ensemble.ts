import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { DEBIAN_ZOOKEEPER_JAR } from '../../libs/testing/real-servers.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import { freePort } from '../../libs/testing/zookeeper/serving.ts';

const JAVA_OPTIONS = [
  '-Xmx128m',
  '-XX:+UseSerialGC',
  '-XX:TieredStopAtLevel=1',
  '-Dzookeeper.jmx.log4j.disable=true',
  '-Dzookeeper.forceSync=no',
  '-Dzookeeper.preAllocSize=1024',
];
const CLASS_PATH = `${DEBIAN_ZOOKEEPER_JAR}:/usr/share/java/slf4j-simple.jar`;
/** Ends java when its own input ends: however the test process dies, the server goes with it. */
const JAVA_WHILE_INPUT_LASTS = 'java "$@" & cat >/dev/null; kill -9 $!; wait';
const MEMBERS = [1, 2, 3] as const;

interface Member {
  readonly clientPort: number;
  readonly config: string;
  shell: ChildProcess | undefined;
}

/** Three of Debian's ZooKeeper servers, one ensemble. */
export class Ensemble {
  readonly #directory: string;
  readonly #members: readonly Member[];

  private constructor(directory: string, members: readonly Member[]) {
    this.#directory = directory;
    this.#members = members;
  }

  static async start(): Promise<Ensemble> {
    const directory = await mkdtemp(join(tmpdir(), 'zookeeper-ensemble-'));
    const servers: string[] = [];
    for (const id of MEMBERS) {
      servers.push(`server.${id}=127.0.0.1:${await freePort()}:${await freePort()}`);
    }
    const members: Member[] = [];
    for (const id of MEMBERS) {
      const dataDir = join(directory, String(id));
      await mkdir(dataDir);
      await writeFile(join(dataDir, 'myid'), String(id));
      const clientPort = await freePort();
      const config = join(directory, `zoo-${id}.cfg`);
      const settings = [
        ...['tickTime=500', 'initLimit=20', 'syncLimit=10', `dataDir=${dataDir}`, `clientPort=${clientPort}`],
        ...['clientPortAddress=127.0.0.1', 'admin.enableServer=false', 'maxClientCnxns=0'],
        ...['4lw.commands.whitelist=srvr', ...servers],
      ];
      await writeFile(config, `${settings.join('\n')}\n`);
      members.push({ clientPort, config, shell: undefined });
    }
    const ensemble = new Ensemble(directory, members);
    try {
      await ensemble.startAll();
    } catch (error) {
      await ensemble.stop();
      throw error;
    }
    return ensemble;
  }

  get connectString(): string {
    return this.#members.map(({ clientPort }) => `127.0.0.1:${clientPort}`).join(',');
  }

  /** Starts every member that does not run; resolves once all of them serve. */
  async startAll(): Promise<void> {
    for (const member of this.#members) this.#start(member);
    await eventually(
      'all of the ensemble serve',
      async () => (await this.#modes()).every((mode) => mode !== undefined),
      { withinMs: 60_000, everyMs: 100 },
    );
  }

  /** The index of the member that leads. */
  leader(): Promise<number> {
    return eventually(
      'a leader',
      async () => {
        const index = (await this.#modes()).indexOf('leader');
        return index >= 0 && { index };
      },
      { withinMs: 30_000 },
    ).then(({ index }) => index);
  }

  /** Kills members at once, as a power cut would. */
  async kill(...indices: readonly number[]): Promise<void> {
    for (const index of indices) {
      const member = this.#members[index];
      if (member?.shell === undefined) continue;
      const exited = once(member.shell, 'exit');
      member.shell.stdin?.end();
      member.shell = undefined;
      await exited;
    }
  }

  async stop(): Promise<void> {
    await this.kill(...this.#members.keys());
    await rm(this.#directory, { recursive: true, force: true });
  }

  #start(member: Member): void {
    const main = 'org.apache.zookeeper.server.quorum.QuorumPeerMain';
    const args = [...JAVA_OPTIONS, '-cp', CLASS_PATH, main, member.config];
    member.shell ??= spawn('sh', ['-c', JAVA_WHILE_INPUT_LASTS, 'sh', ...args], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
  }

  /** As each member says of itself; undefined for one that does not serve. */
  #modes(): Promise<(string | undefined)[]> {
    return Promise.all(
      this.#members.map(async ({ clientPort }) => {
        const socket = connect({ host: '127.0.0.1', port: clientPort, timeout: 1_000 });
        socket.on('timeout', () => socket.destroy());
        socket.end('srvr');
        const answer = await text(socket).catch(() => '');
        return /Mode: (\w+)/.exec(answer)?.[1];
      }),
    );
  }
}
