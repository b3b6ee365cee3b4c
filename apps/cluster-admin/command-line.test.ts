import { describe, expect, it } from 'vitest';
import { readCommandLine } from './command-line.ts';

const read = (line: string) => readCommandLine(line.split(' ').filter((word) => word !== ''));
const commandOf = (line: string) => {
  const result = read(line);
  return result.kind === 'run' ? result.command : result;
};

describe('the command line', () => {
  it.each([
    ['status', { kind: 'status' }],
    ['plan --dry-run', { kind: 'dry-run' }],
    ['drain w1', { kind: 'wish', worker: 'w1', change: { wish: 'DRAIN' } }],
    ['disable w1', { kind: 'wish', worker: 'w1', change: { wish: 'DISABLED' } }],
    ['enable w1', { kind: 'wish', worker: 'w1', change: { wish: 'ENABLED' } }],
    ['weight w1 2', { kind: 'wish', worker: 'w1', change: { weight: 2 } }],
    ['weight w1 none', { kind: 'wish', worker: 'w1', change: { weight: undefined } }],
    ['zone w1 eu-1', { kind: 'wish', worker: 'w1', change: { zone: 'eu-1' } }],
    ['tags w1 gpu,ssd', { kind: 'wish', worker: 'w1', change: { tags: ['gpu', 'ssd'] } }],
    ['limit w1 0', { kind: 'wish', worker: 'w1', change: { maxPartitions: 0 } }],
    ['require-tag gpu', { kind: 'require-tag', tag: 'gpu' }],
    ['pause', { kind: 'mode', mode: 'PAUSED' }],
    ['pause --for 10m --reason upgrade', { kind: 'mode', mode: 'PAUSED', forMs: 600_000, reason: 'upgrade' }],
    ['resume', { kind: 'mode', mode: 'AUTO' }],
    ['maintenance on --for=90s', { kind: 'mode', mode: 'MAINTENANCE', forMs: 90_000 }],
    ['pause --reason=--json', { kind: 'mode', mode: 'PAUSED', reason: '--json' }],
    ['maintenance off', { kind: 'mode', mode: 'AUTO', onlyFrom: 'MAINTENANCE' }],
  ])('%s', (line, command) => {
    expect(read(line)).toEqual({ kind: 'run', command, json: false });
    expect(read(`--json ${line}`)).toEqual({ kind: 'run', command, json: true });
    expect(read(`${line} --help`)).toMatchObject({ kind: 'help' });
  });

  it.each([
    ['', 'which command?'],
    ['--json', 'which command?'],
    ['drian w1', 'no command "drian": did you mean drain?'],
    ['bogus', 'no command "bogus"'],
    ['toString', 'no command "toString"'],
    ['help drian', 'no command "drian": did you mean drain?'],
    ['status --jsn', 'status has no flag --jsn: did you mean --json?'],
    ['status --for 10m', 'status has no flag --for'],
    ['status -x', 'status has no flag -x'],
    ['pause now', 'usage: npm run cluster -- pause [--for TIME] [--reason TEXT]'],
    ['status now', 'usage: npm run cluster -- status'],
    ['drain', 'usage: npm run cluster -- drain WORKER'],
    ['plan', 'plan: say --dry-run; the controller carries its plan out by itself'],
    ['pause --for', '--for needs a value'],
    ['pause --reason --json', '--reason needs a value; if it is to be --json: --reason=--json'],
    ['pause --for --reason x', '--for needs a value; if it is to be --reason: --for=--reason'],
    ['pause --for soon', '--for: "soon" must be a time such as 90s, 10m or 2h'],
    ['pause --for 0m', '--for: "0m" must be a time such as 90s, 10m or 2h'],
    ['status --json=yes', '--json takes no value'],
    ['maintenance maybe', 'maintenance: say on or off'],
    ['maintenance off --for 1m', 'maintenance off: takes neither --for nor --reason'],
    ['weight w1 0', '"0" must be a whole number from 1 to 1000, or none'],
    ['weight w1 -1', '"-1" must be a whole number from 1 to 1000, or none'],
    ['limit --json w1 -12', '"-12" must be a whole number from 0 to 65536, or none'],
    [`tags w1 ${Array(33).fill('t').join(',')}`, 'TAGS: 33 are too many, there may be 32'],
    ['drain ../x', 'WORKER: "../x" must be 1–100 letters, digits, dots, dashes or underscores'],
  ])('refuses "%s" in one line', (line, message) => {
    expect(commandOf(line)).toEqual({ kind: 'invalid', message });
  });

  it('explains itself', () => {
    const help = read('--help');
    for (const command of ['status', 'plan', 'drain WORKER', 'maintenance on|off', '--json', 'Exit codes']) {
      expect(help).toMatchObject({ kind: 'help', text: expect.stringContaining(command) as string });
    }
    expect(help).toMatchObject({ text: expect.stringContaining('plain text on stderr') as string });
    expect(read('help')).toEqual(help);
    expect(read('help pause')).toEqual(read('pause --help'));
  });
});
