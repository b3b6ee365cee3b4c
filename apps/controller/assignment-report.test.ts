import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { AssignmentReport } from './assignment-report.ts';

function report() {
  const log: string[] = [];
  const logger = pino(
    { formatters: { level: (level) => ({ level }) } },
    {
      write: (line) => {
        const { level, msg } = JSON.parse(line) as { level: string; msg: string };
        log.push(`${level}: ${msg}`);
      },
    },
  );
  return { log, report: new AssignmentReport(logger) };
}

describe('a report of assignments', () => {
  it('says once that there are no workers yet, or any more, and does not warn of it', () => {
    const { log, report: assignments } = report();
    for (const workers of [0, 0, 2, 1, 0, 0]) assignments.observeWorkers(workers);
    expect(log).toEqual([
      'info: no live workers yet: every partition waits',
      'info: no live workers any more: every partition waits',
    ]);
  });

  it('says how partitions are shared when that has changed, not as it was found', () => {
    const { log, report: assignments } = report();
    for (const target of [
      ['a', null],
      ['a', 'b'],
      ['a', 'b'],
      ['a', 'a'],
    ])
      assignments.observe(target);
    expect(log).toEqual([
      'info: assigned: 2 partitions over 2 workers: a 1, b 1; 1 moved',
      'info: assigned: 2 partitions over 1 worker: a 2; 1 moved',
    ]);
  });
});
