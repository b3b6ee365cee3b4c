/** The child processes of a run. They run on the Node of this one, with their output in files. */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sleep } from '../libs/core/clock.ts';
import { systemClock } from '../libs/runtime/system.ts';
import type { Answer, Call } from './remote.ts';

export interface ProcessSpec {
  /** `worker-1`, … */
  readonly name: string;
  /** The TypeScript file to run, from the project's root. */
  readonly file: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Options of Node's, e.g. for a profile. */
  readonly nodeArgs?: readonly string[];
}

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const STOP_GRACE_MS = 20_000;
const LAST_LINES = 20;

/**
 * One child. It has a process group of its own, so that Ctrl-C reaches this process alone; its standard input is a
 * pipe that closes when this process dies, by which the project's own processes know to end, and the IPC channel
 * tells the others.
 */
export class BenchProcess {
  readonly name: string;
  readonly logFile: string;
  readonly pid: number | undefined;
  /** How it ended, e.g. `code 1`. Never rejects. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #calls = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #stopping = false;
  #lastCall = 0;

  constructor(spec: ProcessSpec, logFile: string) {
    this.name = spec.name;
    this.logFile = logFile;
    const log = openSync(logFile, 'w');
    this.#child = spawn(
      process.execPath,
      [...(spec.nodeArgs ?? []), join(ROOT, 'bin/run.mjs'), join(ROOT, spec.file), ...(spec.args ?? [])],
      {
        cwd: ROOT,
        env: { PATH: process.env['PATH'] ?? '', PARENT_PIPE: '1', ...spec.env },
        stdio: ['pipe', log, log, 'ipc'],
        detached: true,
      },
    );
    closeSync(log);
    this.pid = this.#child.pid;
    this.#child.stdin?.on('error', () => undefined);
    this.#child.on('message', (message) => this.#settle(message as Answer));
    this.ended = new Promise<string>((resolve) => {
      this.#child.once('error', (error) => resolve(error.message));
      this.#child.once('exit', (code, signal) => resolve(signal ?? `code ${code ?? 0}`));
    }).then((how) => {
      for (const call of this.#calls.values()) call.reject(new Error(`${this.name} ended: ${how}`));
      this.#calls.clear();
      return how;
    });
  }

  /** The first message that a server sends: where it listens. */
  async address(): Promise<string> {
    const message = new Promise((resolve) => this.#child.once('message', resolve));
    return (await Promise.race([message, this.failure()])) as string;
  }

  /**
   * Calls a function that the process serves (remote.ts).
   * @throws what the function throws, or that the process has ended
   */
  call<T>(method: string, ...args: readonly unknown[]): Promise<T> {
    const id = ++this.#lastCall;
    const answered = new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject }));
    const call: Call = { id, method, args };
    this.#child.send(call);
    return Promise.race([answered, this.failure()]) as Promise<T>;
  }

  /** Rejects, with the last lines of its log, when the process ends without having been told to. */
  async failure(): Promise<never> {
    const how = await this.ended;
    // What is waiting on a process that is being stopped is being stopped as well.
    if (this.#stopping) return new Promise(() => undefined);
    throw new Error(`${this.name} ended by itself (${how}):\n${await this.lastLines()}`);
  }

  async lastLines(): Promise<string> {
    const text = await readFile(this.logFile, 'utf8');
    return text.trimEnd().split('\n').slice(-LAST_LINES).join('\n');
  }

  /** SIGKILL, as a crash. */
  async kill(): Promise<void> {
    this.#stopping = true;
    this.#child.kill('SIGKILL');
    await this.ended;
  }

  /** SIGTERM, and SIGKILL if that is not enough. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#child.kill('SIGTERM');
    const deadline = systemClock.schedule(STOP_GRACE_MS, () => this.#child.kill('SIGKILL'));
    await this.ended;
    deadline.cancel();
  }

  #settle(answer: Partial<Answer>): void {
    if (answer.id === undefined) return;
    const call = this.#calls.get(answer.id);
    this.#calls.delete(answer.id);
    if (answer.error === undefined) call?.resolve(answer.result);
    else call?.reject(new Error(`${this.name}: ${answer.error}`));
  }
}

/** All that run, so that none is left behind. */
export class Processes {
  readonly #logDir: string;
  readonly #running = new Set<BenchProcess>();
  #closed = false;

  constructor(logDir: string) {
    this.#logDir = logDir;
  }

  start(spec: ProcessSpec): BenchProcess {
    if (this.#closed) throw new Error('the run is being stopped');
    const child = new BenchProcess(spec, join(this.#logDir, `${spec.name}.log`));
    this.#running.add(child);
    void child.ended.then(() => this.#running.delete(child));
    return child;
  }

  /** Runs a job to its end. @throws with the last lines of its log where it fails */
  async run(spec: ProcessSpec): Promise<void> {
    const job = this.start(spec);
    const how = await job.ended;
    if (how !== 'code 0') throw new Error(`${spec.name} failed (${how}):\n${await job.lastLines()}`);
  }

  /** Stops what still runs; nothing can be started any more. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#running].map((child) => child.stop()));
  }
}

export const pause = (delayMs: number) => sleep(systemClock, delayMs);
