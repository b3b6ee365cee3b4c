/** One run of a Postgres server process, from its start to its end. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { sleep } from '../core/clock.ts';
import { StartupError } from '../runtime/app-process.ts';
import { systemClock } from '../runtime/system.ts';
import type { Account } from './postgres-account.ts';
import { onLines } from './postgres-binaries.ts';

/** Postgres' own names: `fast` ends sessions and shuts down, `immediate` leaves recovery to the next start. */
export type StopMode = 'fast' | 'immediate';

export interface Postmaster {
  readonly pid: number;
  stop(mode?: StopMode): Promise<void>;
}

export interface PostmasterOptions {
  readonly postgres: string;
  readonly pgData: string;
  readonly port: number;
  readonly account: Account | undefined;
  readonly settings: Readonly<Record<string, string>>;
  readonly onLog: (line: string) => void;
  readonly onUnexpectedExit: (reason: string) => void;
}

/** Port taken by someone else: the caller may try another. */
export class PortTakenError extends StartupError {
  override name = 'PortTakenError';
}

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '300',
  lc_messages: 'C',
  log_timezone: 'UTC',
  timezone: 'UTC',
};

const START_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 30_000;
/** How soon a server whose parent was killed is known to be shutting down. */
const ORPHAN_NOTICE_MS = 2_000;
const PROBE_MS = 50;

/** @throws StartupError in one line; {@link PortTakenError} for the port */
export async function spawnPostmaster(options: PostmasterOptions): Promise<Postmaster> {
  const { pgData, port, account, onLog } = options;
  await waitForFormerServer(pgData);

  const settings = Object.entries({ ...SETTINGS, ...options.settings });
  const child = spawn(
    options.postgres,
    ['-D', pgData, '-p', String(port), ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    { ...account, cwd: '/', detached: true, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const exited = once(child, 'exit').then(
    ([code, signal]) => `exit code ${String(code)}, signal ${String(signal)}`,
  );
  const started = await new Promise<'ready' | string[]>((resolve) => {
    const deadline = systemClock.schedule(START_DEADLINE_MS, () => child.kill('SIGQUIT'));
    const lines: string[] = [];
    onLines(child.stderr, (line) => {
      onLog(line);
      if (lines.length < 100) lines.push(line);
      if (!line.includes('database system is ready to accept connections')) return;
      deadline.cancel();
      resolve('ready');
    });
    child.once('error', (error) => resolve([error.message]));
    void exited.then(() => {
      deadline.cancel();
      resolve(lines);
    });
  });
  if (started !== 'ready' || child.pid === undefined) throw startFailure(started, options);
  return superviseChild(child, child.pid, exited, options);
}

/**
 * ```
 * RUNNING ──stop()──▶ STOPPING ──exit──▶ STOPPED
 *    └── exit, untold ──▶ STOPPED, onUnexpectedExit
 * ```
 */
function superviseChild(
  child: ChildProcess,
  pid: number,
  exited: Promise<string>,
  { onUnexpectedExit }: PostmasterOptions,
): Postmaster {
  const guard = spawnGuard(pid);
  let stopping = false;
  void exited.then((reason) => {
    guard.kill('SIGKILL');
    if (!stopping) onUnexpectedExit(`Postgres ended unexpectedly: ${reason}`);
  });
  return {
    pid,
    async stop(mode = 'fast') {
      stopping = true;
      child.kill(mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
      const deadline = systemClock.schedule(STOP_DEADLINE_MS, () => child.kill('SIGQUIT'));
      await exited;
      deadline.cancel();
    },
  };
}

/** Shuts the server down when this process is gone: its standard input then ends. */
function spawnGuard(pid: number): ChildProcess {
  const script = 'trap "" INT TERM HUP; read -r _; kill -INT "$1"';
  const guard = spawn('/bin/sh', ['-c', script, 'postgres-guard', String(pid)], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.once('error', () => undefined);
  return guard;
}

function startFailure(lines: 'ready' | string[], { pgData, port }: PostmasterOptions): StartupError {
  const output = lines === 'ready' ? [] : lines;
  const text = output.join('\n');
  if (/could not bind .*address.*in use/i.test(text)) return new PortTakenError(`port ${port} is taken`);
  if (text.includes('lock file "postmaster.pid" already exists')) return inUse(pgData);
  const fatal = output.find((line) => line.includes('FATAL:')) ?? output.at(-1) ?? 'no output';
  return new StartupError(`Postgres did not start: ${fatal}`);
}

const inUse = (pgData: string, pid?: number) =>
  new StartupError(
    `Postgres data directory ${dirname(pgData)} is in use by a running server${pid === undefined ? '' : ` (pid ${pid})`}`,
  );

/**
 * Makes way for a start. A server still shutting down, its parent having been killed, is waited for; a lock
 * file whose pid belongs to some other program by now (pids repeat soon in a container) is removed.
 * @throws StartupError where a server is running there
 */
async function waitForFormerServer(pgData: string): Promise<void> {
  const probes = { running: ORPHAN_NOTICE_MS / PROBE_MS, stopping: STOP_DEADLINE_MS / PROBE_MS };
  for (;;) {
    const lockFile = await readFile(join(pgData, 'postmaster.pid'), 'utf8').catch(() => undefined);
    const pid = Number(lockFile?.split('\n')[0]);
    if (lockFile === undefined || !Number.isInteger(pid) || pid <= 0 || !isAlive(pid)) return;
    const program = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => undefined);
    if (program !== undefined && basename(program.split('\0')[0] ?? '') !== 'postgres') {
      // Or it is the server, which has just ended (what has no memory any more has no command line), and its file with it.
      await rm(join(pgData, 'postmaster.pid'), { force: true });
      return;
    }
    const state = lockFile.includes('stopping') ? 'stopping' : 'running';
    if (probes[state]-- <= 0) throw inUse(pgData, pid);
    await sleep(systemClock, PROBE_MS);
  }
}

/** Whether there is such a process, be it another user's. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
