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

/**
 * pino to standard output: JSON lines in production, readable ones in a terminal. Written synchronously, so
 * that nothing is lost when a process ends.
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
        timestamp: pino.stdTimeFunctions.isoTime,
      },
      pino.destination({ fd: 1, sync: true }),
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
