import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Clock } from '../../core/clock.ts';
import { sleep } from '../../core/clock.ts';
import type { Output } from './output.ts';

export interface ProcessSpec {
  /** `worker-1`, … */
  readonly name: string;
  /** The TypeScript file to run, absolute. */
  readonly file: string;
  readonly args?: readonly string[];
  /** On top of the launcher's own environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface SupervisedProcessOptions {
  readonly spec: ProcessSpec;
  readonly output: Output;
  readonly clock: Clock;
}

const RUN = fileURLToPath(new URL('../../../bin/run.mjs', import.meta.url));
/** How long to wait for the last lines of a process that has ended. */
const LAST_LINES_MS = 1_000;

/**
 * One process of the local cluster.
 *
 * ```
 * running ── stop(): SIGTERM ──▶ stopping ── ends, or kill() after the deadline ──▶ ended
 *    └────────────────────── ends by itself ──────────────────────────────────────────▲
 * ```
 *
 * It has a process group of its own: Ctrl-C in a terminal reaches the launcher alone, which stops the
 * processes in order. Its standard input is a pipe that closes when the launcher dies, by which it knows to
 * end (`PARENT_PIPE`).
 */
export class SupervisedProcess {
  readonly name: string;
  /** How it ended, e.g. `exited with code 1`. Never rejects. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #clock: Clock;
  #hasEnded = false;

  constructor({ spec, output, clock }: SupervisedProcessOptions) {
    this.name = spec.name;
    this.#clock = clock;
    const args = ['--disable-warning=ExperimentalWarning', RUN, spec.file, ...(spec.args ?? [])];
    this.#child = spawn(process.execPath, args, {
      env: { ...process.env, PARENT_PIPE: '1', ...spec.env },
      stdio: ['pipe', 'pipe', 'pipe', 'ipc'],
      detached: true,
    });
    this.#child.stdin?.on('error', () => undefined);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (stream !== null) forwardLines(stream, (line) => output.line(spec.name, line));
    }
    this.ended = this.#watch();
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** The first message the process sends: a server's, once it can be reached. Pending for ever if it ends first. */
  message(): Promise<unknown> {
    return new Promise((resolve) => this.#child.once('message', resolve));
  }

  /** SIGTERM, and what {@link kill} does after `graceMs`. Resolves with how it ended. */
  async stop(graceMs: number): Promise<string> {
    this.#signal('SIGTERM');
    const deadline = this.#clock.schedule(graceMs, () => this.kill());
    try {
      return await this.ended;
    } finally {
      deadline.cancel();
    }
  }

  /** SIGKILL. */
  kill(): void {
    this.#signal('SIGKILL');
  }

  #signal(signal: NodeJS.Signals): void {
    if (!this.#hasEnded) this.#child.kill(signal);
  }

  async #watch(): Promise<string> {
    const closed = new Promise((resolve) => this.#child.once('close', resolve));
    const how = await new Promise<string>((resolve) => {
      this.#child.once('error', (error) => resolve(`could not be run: ${error.message}`));
      this.#child.once('exit', (code, signal) =>
        resolve(signal === null ? `exited with code ${code ?? 0}` : `was killed by ${signal}`),
      );
    });
    this.#hasEnded = true;
    await Promise.race([closed, sleep(this.#clock, LAST_LINES_MS)]);
    return how;
  }
}

function forwardLines(stream: Readable, write: (line: string) => void): void {
  createInterface({ input: stream, crlfDelay: Infinity }).on('line', write);
}
