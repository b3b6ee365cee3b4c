import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { eventually } from '../../libs/testing/eventually.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const READY_WITHIN_MS = 60_000;

export interface LauncherOptions {
  /** Of all that is around us, it gets this and PATH only. */
  readonly env?: NodeJS.ProcessEnv;
  /** Run by npm itself, which then is what signals go to; else by the command that npm runs. */
  readonly npm?: boolean;
  /** Who runs it, where that is not us. */
  readonly account?: { readonly uid: number; readonly gid: number } | undefined;
}

/** `npm start -- …` as a user would run it, in a process group of its own as in a terminal. */
export class LauncherUnderTest {
  /** What it wrote, standard output and error alike. */
  readonly lines: string[] = [];
  /** Exit code, or the name of the signal that ended it. */
  readonly exit: Promise<number | string>;
  readonly #child: ChildProcess;
  /** In the environment of every process that it starts, directly or not. */
  readonly #mark = `LAUNCHER_UNDER_TEST=${randomUUID()}`;

  constructor(args: readonly string[], { env, npm = false, account }: LauncherOptions = {}) {
    const [name = '', value] = this.#mark.split('=');
    const [command, ...first] = npm
      ? (['npm', 'start', '--'] as const)
      : ([process.execPath, 'bin/run.mjs', 'libs/embedded/main.ts'] as const);
    this.#child = spawn(command, [...first, ...args], {
      ...account,
      cwd: ROOT,
      env: { PATH: process.env['PATH'], ...env, [name]: value },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on('line', (line) => this.lines.push(line));
    }
    this.exit = new Promise((done) =>
      this.#child.once('close', (code, signal) => done(code ?? signal ?? '')),
    );
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves with the address of the API once the launcher says that it is ready. */
  async ready(): Promise<string> {
    const url = await eventually('the launcher is ready', () => this.#readyUrl(), {
      withinMs: READY_WITHIN_MS,
    }).catch((error: unknown) => {
      throw new Error(this.lines.join('\n'), { cause: error });
    });
    return url;
  }

  /** Ends one of its processes as a crash would: the one whose command line holds `command`. */
  async crash(command: string): Promise<void> {
    const [pid] = [...(await this.processes())].flatMap(([pid, line]) =>
      line.includes(command) ? [pid] : [],
    );
    if (pid === undefined) throw new Error(`no process of ${command}`);
    process.kill(pid, 'SIGKILL');
  }

  /** Ctrl-C under npm: the terminal tells the whole group, and npm passes on what it was told. */
  ctrlC(): void {
    process.kill(-this.pid, 'SIGINT');
    this.#child.kill('SIGINT');
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** All processes that it has started and that still run, itself included: command lines by pid. */
  async processes(): Promise<Map<number, string>> {
    return (await environments()).reduce((found, { pid, environment, command }) => {
      return environment.includes(this.#mark) ? found.set(pid, command) : found;
    }, new Map<number, string>());
  }

  /** Fails unless nothing of it is left soon. */
  async leavesNothing(): Promise<void> {
    let left: string[] = [];
    const isEmpty = async () => {
      left = [...(await this.processes()).values()];
      return left.length === 0;
    };
    await eventually('nothing is left', isEmpty, { withinMs: 15_000 }).catch((error: unknown) => {
      throw new Error(`left: ${left.join(', ')}\n${this.lines.join('\n')}`, { cause: error });
    });
  }

  /** Ends whatever a failed test has left. */
  async kill(): Promise<void> {
    for (const pid of (await this.processes()).keys()) process.kill(pid, 'SIGKILL');
  }

  #readyUrl(): string | undefined {
    return this.lines.flatMap((line) => /^ready: (\S+)/.exec(line)?.[1] ?? [])[0];
  }
}

interface RunningProcess {
  readonly pid: number;
  readonly environment: string;
  readonly command: string;
}

/** All processes whose environment we may read. */
async function environments(): Promise<RunningProcess[]> {
  if (process.platform !== 'linux') {
    const { stdout } = await promisify(execFile)('ps', ['axEww', '-o', 'pid=,command=']);
    return stdout.split('\n').flatMap((line) => {
      const [, pid, text] = /^ *(\d+) (.*)$/.exec(line) ?? [];
      return text === undefined ? [] : [{ pid: Number(pid), environment: text, command: text }];
    });
  }
  const read = (pid: string, file: string) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  return Promise.all(
    pids.map(async (pid) => ({
      pid: Number(pid),
      environment: await read(pid, 'environ'),
      command: (await read(pid, 'cmdline')).replaceAll('\0', ' '),
    })),
  );
}
