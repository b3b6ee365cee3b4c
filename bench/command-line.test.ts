import { describe, expect, it } from 'vitest';
import type { BenchOptions } from './command-line.ts';
import { isTrial, readCommandLine, roundsOf } from './command-line.ts';

const known = {
  scenarios: [
    { name: 'drain', contestants: ['project', 'pg-boss'] },
    { name: 'submit', contestants: ['project', 'pg-boss', 'fastify'] },
    { name: 'drain-long', contestants: ['project'], onRequest: true, rounds: 1 },
  ],
  contestants: ['project', 'pg-boss', 'fastify'],
};
const usual = {};
const long = { rounds: 1 };
const read = (...args: string[]) => readCommandLine(args, known);

function options(...args: string[]): BenchOptions {
  const line = read(...args);
  if (line.kind !== 'run') throw new Error(`refused: ${JSON.stringify(line)}`);
  return line.options;
}

describe('npm run bench', () => {
  it('without a word runs all scenarios at the sizes that are recorded', () => {
    expect(options()).toMatchObject({ scenarios: ['drain', 'submit'], only: [], tasks: 100_000 });
    expect(isTrial(options(), usual)).toBe(false);
    expect([usual, long].map((scenario) => roundsOf(options(), scenario))).toEqual([5, 1]);
  });

  it('runs the scenarios named, in the order given, each of them once', () => {
    expect(options('submit', 'drain', 'submit').scenarios).toEqual(['submit', 'drain']);
    expect(isTrial(options('submit'), usual)).toBe(false);
  });

  it('runs those that measure one of the contestants chosen', () => {
    expect(options('--only', 'fastify').scenarios).toEqual(['submit']);
    expect(read('drain-long', 'drain', '--only', 'pg-boss,fastify')).toEqual({
      kind: 'invalid',
      message: 'drain-long: measures project only',
    });
  });

  it.each([['--tasks=10'], ['--rounds=1'], ['--only=project'], ['--profile']])('%s is a trial', (flag) => {
    expect(isTrial(options(flag), usual)).toBe(true);
  });

  it('more rounds than usual are no trial', () => {
    expect(isTrial(options('--rounds', '9'), usual)).toBe(false);
    expect(isTrial(options('--rounds', '3'), long)).toBe(false);
    expect(roundsOf(options('--rounds', '3'), long)).toBe(3);
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
        'no contestant "pgboss": there are project, pg-boss, fastify',
        '--rounds: must be a whole number from 1',
        '--tasks: must be a whole number from 1',
      ].join('\n'),
    });
    expect(read('--round', '3').kind).toBe('invalid');
  });
});
