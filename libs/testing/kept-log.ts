import { Writable } from 'node:stream';
import { pino } from 'pino';
import type { Logger } from 'pino';

/** A logger whose messages, without their fields, are kept for a test to read. */
export function keptLog(): { logger: Logger; said: readonly string[] } {
  const said: string[] = [];
  const stream = new Writable({
    write(line: Buffer, _, done) {
      said.push((JSON.parse(line.toString()) as { msg: string }).msg);
      done();
    },
  });
  return { logger: pino(stream), said };
}
