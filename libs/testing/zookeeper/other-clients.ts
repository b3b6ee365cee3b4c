/** Clients that were written elsewhere, run as child processes: what they print is what a server made of them. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { DEBIAN_ZOOKEEPER_JAR } from '../real-servers.ts';

/** Everything `command` prints, to its standard output and then to its standard error. */
async function run(command: string, args: readonly string[], input = ''): Promise<string> {
  const child = spawn(command, args, { timeout: 60_000, killSignal: 'SIGKILL' });
  child.stdin.end(input);
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return out + err;
}

export interface CommandLineSession {
  /** What the commands print, without the times, which no two servers share. */
  readonly printed: readonly string[];
  /** What its watchers print, in between. */
  readonly events: readonly string[];
}

/** ZooKeeper's own command-line client, `zkCli.sh` elsewhere, given `commands` in one session. */
export async function runZooKeeperMain(
  connectString: string,
  commands: readonly string[],
): Promise<CommandLineSession> {
  const classPath = `${DEBIAN_ZOOKEEPER_JAR}:/usr/share/java/slf4j-nop.jar`;
  const jvm = ['-Xmx128m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', classPath];
  const main = ['org.apache.zookeeper.ZooKeeperMain', '-timeout', '10000', '-server', connectString];
  const input = [...commands, 'quit', ''].join('\n');
  const lines = (await run('java', [...jvm, ...main], input)).split('\n');
  const told = lines.filter((line) => !/^(Connecting|Welcome|JLine|WATCHER::|$)/.test(line));
  return {
    printed: told
      .filter((line) => !line.startsWith('WatchedEvent'))
      .map((line) => line.replace(/^([cm]time) = .*/, '$1')),
    events: told.flatMap((line) => /^WatchedEvent state:SyncConnected (type:Node.*)/.exec(line)?.[1] ?? []),
  };
}

/** kazoo-story.py: each line is what was done, and what came of it. */
export async function runKazooStory(python: string, connectString: string): Promise<unknown[]> {
  const story = fileURLToPath(new URL('kazoo-story.py', import.meta.url));
  const printed = await run(python, [story, connectString]);
  return printed.split('\n').flatMap((line) => {
    if (line === '') return [];
    return [line.startsWith('[') ? (JSON.parse(line) as unknown) : line];
  });
}
