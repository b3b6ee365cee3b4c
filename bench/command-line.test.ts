import { describe, expect, it } from 'vitest';
import type { BenchOptions } from './command-line.ts';
import { isTrial, readCommandLine } from './command-line.ts';

const known = {
  scenarios: ['drain', 'submit'],
  onRequest: ['drain-long'],
  contestants: ['project', 'pg-boss'],
};
const read = (...args: string[]) => readCommandLine(args, known);

function options(...args: string[]): BenchOptions {
  const line = read(...args);
  if (line.kind !== 'run') throw new Error(`refused: ${JSON.stringify(line)}`);
  return line.options;
}

describe('npm run bench', () => {
  it('without a word runs all scenarios at the sizes that are recorded', () => {
    expect(options()).toMatchObject({ scenarios: ['drain', 'submit'], only: [], rounds: 5, tasks: 100_000 });
    expect(isTrial(options())).toBe(false);
  });

  it('runs the scenarios named, in the order given', () => {
    expect(options('submit', 'drain').scenarios).toEqual(['submit', 'drain']);
    expect(isTrial(options('submit'))).toBe(false);
  });

  it.each([['--tasks=10'], ['--rounds=1'], ['--only=project'], ['--profile']])('%s is a trial', (flag) => {
    expect(isTrial(options(flag))).toBe(true);
  });

  it('more rounds are no trial', () => {
    expect(isTrial(options('--rounds', '9'))).toBe(false);
  });

  it('lists what there is, asked for help', () => {
    const help = read('--help');
    expect(help.kind === 'help' && help.text).toContain('drain, submit');
  });

  it('reports all that is wrong at once', () => {
    expect(read('drian', '--only', 'pgboss', '--rounds', '0', '--tasks', 'many')).toEqual({
      kind: 'invalid',
      message: [
        'no scenario "drian": there are drain, submit, drain-long',
        'no contestant "pgboss": there are project, pg-boss',
        '--rounds: must be a whole number from 1',
        '--tasks: must be a whole number from 1',
      ].join('\n'),
    });
    expect(read('--round', '3').kind).toBe('invalid');
  });
});
