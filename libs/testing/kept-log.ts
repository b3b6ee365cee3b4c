import { Writable } from 'node:stream';
import { pino } from 'pino';
import type { Logger } from 'pino';

/** A line as it is logged, but for time and process. */
export interface LoggedLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** A logger whose messages are kept for a test to read: in `said` without their fields, in `lines` with them. */
export function keptLog(): { logger: Logger; said: readonly string[]; lines: readonly LoggedLine[] } {
  const said: string[] = [];
  const lines: LoggedLine[] = [];
  const stream = new Writable({
    write(line: Buffer, _, done) {
      const logged = JSON.parse(line.toString()) as LoggedLine;
      lines.push(logged);
      said.push(logged.msg);
      done();
    },
  });
  const formatters = { level: (level: string) => ({ level }) };
  return { logger: pino({ base: null, timestamp: false, formatters }, stream), said, lines };
}
