import { describe, expect, it } from 'vitest';
import type { Setting } from './config.ts';
import { ConfigError, databaseUrl, decimal, integer, oneOf, readConfig, text } from './config.ts';

const PORT = integer({ description: 'Port', default: '8080', min: 0, max: 65_535 });
const LEVEL = oneOf({ description: 'Level', default: 'info', values: ['info', 'warn'] });
const NAME = text({ description: 'Name of the thing', pattern: /^[a-z]+$/, form: 'small letters' });
const DATABASE = databaseUrl({ description: 'Postgres' });

function faultsOf(settings: Record<string, Setting<unknown>>, env: NodeJS.ProcessEnv): readonly string[] {
  try {
    readConfig(settings, env);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
}

describe('the configuration', () => {
  it('is read from the variables, and where there is none from the defaults', () => {
    const env = { PORT: '9090', NAME: 'main', OTHER: 'ignored' };
    expect(readConfig({ PORT, LEVEL, NAME }, env)).toEqual({ PORT: 9090, LEVEL: 'info', NAME: 'main' });
  });

  it('takes an empty variable as one that is not set', () => {
    expect(readConfig({ PORT, LEVEL }, { PORT: '', LEVEL: '' })).toEqual({ PORT: 8080, LEVEL: 'info' });
    expect(faultsOf({ NAME }, { NAME: '' })).toEqual(['NAME is not set: Name of the thing']);
  });

  it('reports all faults at once, each by its variable', () => {
    const env = { PORT: 'http', LEVEL: 'loud', DATABASE: 'mysql://db/x' };
    expect(faultsOf({ PORT, LEVEL, NAME, DATABASE }, env)).toEqual([
      'PORT: "http": must be a whole number from 0 to 65535',
      'LEVEL: "loud": must be one of info, warn',
      'NAME is not set: Name of the thing',
      'DATABASE: must be a URL such as postgres://user:password@host:5432/database',
    ]);
    expect(() => readConfig({ PORT, LEVEL, NAME }, env)).toThrow(
      /^invalid configuration:\n {2}PORT: .*\n {2}LEVEL: /,
    );
  });

  it.each(['mysql://me:sekrit@db/x', 'postgres:sekrit@db/x', 'sekrit', 'postgres://me:sekrit@:5432/x'])(
    'keeps the secret of %s to itself',
    (url) => {
      const faults = faultsOf({ DATABASE }, { DATABASE: url });
      expect(faults).toHaveLength(1);
      expect(faults.join()).not.toContain('sekrit');
    },
  );
});

describe('a whole number', () => {
  it.each(['0', '65535', '080'])('may be %s', (value) => {
    expect(PORT.parse(value)).toBe(Number(value));
  });
  it.each(['-1', '65536', '1.5', '1e3', '0x10', ' 1', 'Infinity', '99999999999999999999'])(
    'may not be "%s"',
    (value) => {
      expect(() => PORT.parse(value)).toThrow('must be a whole number from 0 to 65535');
    },
  );
});

describe('a number', () => {
  const DAYS = decimal({ description: 'Days', default: '7', min: 0, max: 100 });
  it.each([
    ['0', 0],
    ['7', 7],
    ['0.5', 0.5],
    ['0.00001', 0.00001],
    ['100.0', 100],
  ])('may be %s', (value, number) => {
    expect(DAYS.parse(value)).toBe(number);
  });
  it.each(['-1', '100.1', '.5', '1.', '1e2', '0x10', ' 1', '1,5', 'never', 'Infinity', 'NaN'])(
    'may not be "%s"',
    (value) => {
      expect(() => DAYS.parse(value)).toThrow('must be a number from 0 to 100, such as 7 or 0.5');
    },
  );
});

describe('a text', () => {
  it('has its form', () => {
    expect(NAME.parse('abc')).toBe('abc');
    expect(() => NAME.parse('ABC')).toThrow('must be small letters');
  });
});

describe('a choice', () => {
  it('is one of those there are, as written', () => {
    expect(LEVEL.parse('warn')).toBe('warn');
    expect(() => LEVEL.parse('WARN')).toThrow('must be one of info, warn');
  });
});

describe('a database URL', () => {
  it.each(['postgres://db', 'postgresql://me:p%40ss@db:5432/x?sslmode=require', 'postgres://me@[::1]/x'])(
    'may be %s',
    (url) => {
      expect(DATABASE.parse(url)).toBe(url);
    },
  );
  it.each(['db:5432/x', 'postgres:x', 'postgres:/x', 'postgres:///x', 'postgres://', 'http://db/x'])(
    'may not be %s: it has no host, or another protocol',
    (url) => {
      expect(() => DATABASE.parse(url)).toThrow('must be a URL');
    },
  );
});
