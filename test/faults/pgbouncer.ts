import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually } from '../../libs/testing/eventually.ts';
import { freePort } from '../../libs/testing/zookeeper/serving.ts';

/** As an ordinary user: to root it refuses to run. */
const NOBODY = 65_534;

export interface Pgbouncer {
  /** The database at the other end, through the proxy. */
  readonly url: string;
  stop(): Promise<void>;
}

/** The version installed, `undefined` for none. */
export async function pgbouncerVersion(): Promise<readonly [major: number, minor: number] | undefined> {
  const { stdout } = await promisify(execFile)('pgbouncer', ['--version']).catch(() => ({ stdout: '' }));
  const [, major, minor] = /PgBouncer (\d+)\.(\d+)/i.exec(stdout) ?? [];
  return major === undefined ? undefined : [Number(major), Number(minor)];
}

/**
 * A proxy that lends each transaction a backend of its choice.
 * @param maxPreparedStatements how many it tracks for each client; `undefined` for a version that tracks none
 */
export async function startPgbouncer(
  databaseUrl: string,
  maxPreparedStatements: number | undefined,
): Promise<Pgbouncer> {
  const { hostname, port, username, password } = new URL(databaseUrl);
  const directory = await mkdtemp(join(tmpdir(), 'pgbouncer-'));
  const listenPort = await freePort();
  const config = join(directory, 'pgbouncer.ini');
  const lines = [
    ...['[databases]', `* = host=${hostname} port=${port} user=${username} password=${password}`],
    ...['[pgbouncer]', 'listen_addr = 127.0.0.1', `listen_port = ${listenPort}`, 'unix_socket_dir ='],
    ...['auth_type = any', 'pool_mode = transaction', 'default_pool_size = 12', 'max_client_conn = 200'],
    ...(maxPreparedStatements === undefined ? [] : [`max_prepared_statements = ${maxPreparedStatements}`]),
  ];
  await writeFile(config, `${lines.join('\n')}\n`);
  await chmod(directory, 0o755);
  const account = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  const child = spawn('pgbouncer', [config], { stdio: 'ignore', ...account });
  const exited = once(child, 'exit');
  const stop = async () => {
    child.kill('SIGKILL');
    await exited;
    await rm(directory, { recursive: true });
  };
  try {
    await eventually('pgbouncer listens', () => accepts(listenPort), { withinMs: 10_000 });
  } catch (error) {
    await stop();
    throw error;
  }
  const via = new URL(databaseUrl);
  via.host = `127.0.0.1:${listenPort}`;
  return { url: via.href, stop };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const settle = (accepted: boolean) => {
      socket.destroy();
      resolve(accepted);
    };
    socket.once('connect', () => settle(true)).once('error', () => settle(false));
  });
}
