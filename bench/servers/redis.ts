/** The machine's redis-server, started for this run: append-only file, flushed every second. */
import type { ChildProcess } from 'node:child_process';
import { execFile, spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findApiPort } from '../../libs/embedded/local-cluster/api-port.ts';
import { pause } from '../processes.ts';

export interface BenchRedis {
  readonly description: string;
  readonly port: number;
  stop(): Promise<void>;
}

const HOST = '127.0.0.1';
const START_DEADLINE_MS = 10_000;
const PROBE_MS = 50;

/** @returns undefined where there is no `redis-server` on the path */
export async function startRedis(dir: string): Promise<BenchRedis | undefined> {
  const version = await promisify(execFile)('redis-server', ['--version']).catch(() => undefined);
  if (version === undefined) return undefined;
  const dataDir = join(dir, 'redis');
  await mkdir(dataDir);
  const port = await findApiPort(HOST, 0);
  const options = {
    ...{ bind: HOST, port: String(port), dir: dataDir },
    ...{ appendonly: 'yes', appendfsync: 'everysec', save: '', 'maxmemory-policy': 'noeviction' },
  };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
  const server = spawn('redis-server', args, { stdio: 'ignore', detached: true });
  const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()));
  const guard = spawnGuard(server);
  const stop = async () => {
    server.kill('SIGTERM');
    await ended;
    guard.kill('SIGKILL');
  };
  if (!(await answers(port))) {
    await stop();
    throw new Error(`redis-server does not answer on port ${port}`);
  }
  return {
    description: `Redis ${/v=(\S+)/.exec(version.stdout)?.[1] ?? ''} (appendonly yes, appendfsync everysec)`,
    port,
    stop,
  };
}

/** Ends the server when this process is gone: the guard's standard input then ends. */
function spawnGuard(server: ChildProcess): ChildProcess {
  const script = 'trap "" INT TERM HUP; read -r _; kill "$1"';
  const guard = spawn('/bin/sh', ['-c', script, 'redis-guard', String(server.pid)], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  return guard.once('error', () => undefined);
}

async function answers(port: number): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < START_DEADLINE_MS; waitedMs += PROBE_MS) {
    const connected = await new Promise<boolean>((resolve) => {
      const socket = connect(port, HOST, () => resolve(true)).on('error', () => resolve(false));
      socket.unref().on('connect', () => socket.destroy());
    });
    if (connected) return true;
    await pause(PROBE_MS);
  }
  return false;
}
