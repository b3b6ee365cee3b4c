import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { resolve } from 'node:path';

export interface LogLine {
  readonly msg: string;
  readonly level: string;
  /** When it was written, milliseconds since the epoch. */
  readonly timeMs: number;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** One app as a real process, with its log read line by line. */
export class AppUnderTest {
  readonly name: string;
  readonly lines: LogLine[] = [];
  readonly #child: ChildProcess;
  readonly #exit: Promise<number | string>;
  #exited = false;

  constructor(
    name: string,
    app: string,
    env: Record<string, string>,
    onLine: (line: LogLine) => void = () => {},
    args: readonly string[] = [],
  ) {
    this.name = name;
    this.#child = spawn(process.execPath, ['bin/run.mjs', `apps/${app}/main.ts`, ...args], {
      cwd: resolve(import.meta.dirname, '../..'),
      env: { PATH: process.env.PATH ?? '', LOG_FORMAT: 'json', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (text) => {
        const line = parseLine(text);
        this.lines.push(line);
        onLine(line);
      });
    }
    this.#exit = once(this.#child, 'exit').then(([code, signal]) => {
      this.#exited = true;
      return (code as number | null) ?? (signal as string);
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get running(): boolean {
    return !this.#exited;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** The exit code, or the name of the signal that ended it. */
  exit(): Promise<number | string> {
    return this.#exit;
  }

  async kill(): Promise<void> {
    if (!this.#exited) this.#child.kill('SIGKILL');
    await this.#exit;
  }

  /** The log as text, for the message of a failing test. */
  transcript(last = 40): string {
    return this.lines
      .slice(-last)
      .map(
        ({ timeMs, level, msg, fields }) =>
          `${new Date(timeMs).toISOString()} ${this.name} ${level} ${msg} ${JSON.stringify(fields)}`,
      )
      .join('\n');
  }
}

function parseLine(text: string): LogLine {
  try {
    const { msg, level, time, ...fields } = JSON.parse(text) as Record<string, unknown>;
    return { msg: String(msg), level: String(level), timeMs: Date.parse(String(time)), fields };
  } catch {
    return { msg: text, level: 'raw', timeMs: Date.now(), fields: {} };
  }
}
