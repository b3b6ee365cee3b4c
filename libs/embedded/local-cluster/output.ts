import type { WriteStream } from 'node:tty';

/** Where the lines of all processes come together. */
export interface Output {
  /** A line a process wrote. */
  line(process: string, text: string): void;
  /** A line of the launcher's own. */
  say(text: string): void;
}

export interface OutputOptions {
  readonly stream: NodeJS.WritableStream & Partial<Pick<WriteStream, 'isTTY'>>;
  /** Names of all processes to come, so that their lines stand in one column. */
  readonly names: readonly string[];
}

const COLORS = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94];

/** `worker-1      | the line`, with a color a process in a terminal. */
export function createOutput({ stream, names }: OutputOptions): Output {
  const width = Math.max(...names.map((name) => name.length));
  const paint = (color: number, text: string) => (stream.isTTY ? `\x1b[${color}m${text}\x1b[0m` : text);
  return {
    line(process, text) {
      const color = COLORS[Math.max(0, names.indexOf(process)) % COLORS.length] ?? 0;
      stream.write(`${paint(color, `${process.padEnd(width)} |`)} ${text}\n`);
    },
    say: (text) => stream.write(`${paint(1, text)}\n`),
  };
}
