import { fstatSync } from 'node:fs';
import { pino } from 'pino';
import type { Logger } from 'pino';
import pretty from 'pino-pretty';

export type { Logger };

export interface LoggerOptions {
  /** The process: `scheduler-api`, `worker-node`, … */
  readonly app: string;
  readonly level: string;
  readonly format: 'auto' | 'json' | 'pretty';
}

/** PIPE_BUF: so much is written to a pipe as a whole, and never mixed with what another thread writes. */
const MAX_PIPE_WRITE_BYTES = 4_096;
/** To a local file whatever is written at once is written as a whole. */
const MAX_FILE_WRITE_BYTES = 65_536;

/**
 * pino to standard output: JSON lines in production, readable ones in a terminal. JSON lines of one turn of the event
 * loop are written together, synchronously at its end, at `flush()` or when the process ends: a process that is killed
 * loses what it has said in that turn since the last `flush()`, and nothing else.
 */
export function createLogger({ app, level, format }: LoggerOptions): Logger {
  const readable = format === 'pretty' || (format === 'auto' && process.stdout.isTTY);
  const options = {
    level,
    base: { app },
    redact: { paths: ['DATABASE_URL', '*.DATABASE_URL', 'ZOOKEEPER_AUTH', '*.ZOOKEEPER_AUTH'] },
  };
  if (!readable) {
    return pino(
      {
        ...options,
        formatters: { level: (label) => ({ level: label }) },
        timestamp: isoTimeField(),
      },
      turnByTurn(pino.destination({ fd: 1, sync: true }), maxWriteBytes(1)),
    );
  }
  return pino(
    options,
    pretty({
      colorize: process.stdout.isTTY,
      singleLine: true,
      sync: true,
      translateTime: 'SYS:HH:MM:ss.l',
      ignore: 'pid,hostname,app',
    }),
  );
}

/** pino's `isoTime`, of which it would spend a tenth of a busy worker's time: written out once a millisecond. */
function isoTimeField(): () => string {
  let atMs = NaN;
  let field = '';
  return () => {
    const nowMs = Date.now();
    if (nowMs !== atMs) [atMs, field] = [nowMs, `,"time":"${new Date(nowMs).toISOString()}"`];
    return field;
  };
}

function maxWriteBytes(fd: number): number {
  return fstatSync(fd).isFile() ? MAX_FILE_WRITE_BYTES : MAX_PIPE_WRITE_BYTES;
}

/** Hands to `destination` at once what is written to it in one turn, or as much of it as may be written at once. */
function turnByTurn(destination: { write(text: string): unknown }, maxBytes: number) {
  let text = '';
  let bytes = 0;
  const flush = () => {
    const written = text;
    // First: what could not be written, the destination keeps.
    text = '';
    bytes = 0;
    if (written !== '') destination.write(written);
  };
  process.on('exit', flush);
  return {
    write(line: string) {
      const more = Buffer.byteLength(line);
      if (bytes + more > maxBytes) flush();
      if (text === '') setImmediate(flush);
      text += line;
      bytes += more;
    },
    flush,
  };
}
