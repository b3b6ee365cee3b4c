import { describe, expect, it } from 'vitest';
import { readOptions, UsageError } from './options.ts';

describe('npm run sim', () => {
  it('runs one seed, many seeds or the mutants', () => {
    const common = { steps: 300, shrink: true };
    expect(readOptions(['--seed', '42'])).toEqual({ kind: 'seed', seed: 42, transcript: false, ...common });
    expect(readOptions(['--seeds', '9', '--no-shrink'])).toMatchObject({ count: 9, from: 1, shrink: false });
    expect(readOptions(['--mutants'])).toEqual({ kind: 'mutants', only: '', seeds: 1_000, steps: 300 });
    expect(readOptions(['--seed', '1', '--help'])).toEqual({ kind: 'help' });
  });

  it.each([
    [[], 'give --seed N, --seeds N or --mutants'],
    [['--seed', '1', '--seeds', '2'], '--seeds does not go with --seed'],
    [['--seed', '1', '--threads', '2'], '--threads does not go with --seed'],
    [['--seeds', '3', '--only', 'claim'], '--only does not go with --seeds'],
    [['--mutants', '--from', '7'], '--from does not go with --mutants'],
    [['--seeds', '0'], '--seeds must be a whole number from 1, not "0"'],
    [['--seed', 'x'], '--seed must be a whole number from 0, not "x"'],
    [['--seed', '1', '--steps', '1e3'], '--steps must be a whole number from 1, not "1e3"'],
  ])('refuses %j', (args, message) => {
    expect(() => readOptions(args)).toThrow(new UsageError(message));
  });

  it('refuses what it does not know', () => {
    expect(() => readOptions(['--sedd', '1'])).toThrow(UsageError);
  });
});
