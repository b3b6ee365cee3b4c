import { describe, expect, it } from 'vitest';
import { readCommandLine } from './command-line.ts';

const run = (args: string[], env: NodeJS.ProcessEnv = {}) => readCommandLine(args, env, '/home/me/scheduler');

describe('the command line of npm start', () => {
  it('has a default for everything', () => {
    expect(run([])).toEqual({
      kind: 'run',
      options: {
        workers: 3,
        controllers: 1,
        partitions: 64,
        host: '127.0.0.1',
        port: 8080,
        dataDir: '/home/me/scheduler/.data',
        databaseUrl: undefined,
        zookeeperConnect: undefined,
        shutdownGraceMs: 10_000,
        logFormat: 'pretty',
      },
    });
  });

  it('takes what the flags say over what the environment says', () => {
    const env = {
      PORT: '1111',
      PARTITIONS: '16',
      DATABASE_URL: 'postgres://db/x',
      ZOOKEEPER_CONNECT: 'zk:2181',
      SHUTDOWN_GRACE_MS: '500',
      LOG_FORMAT: 'json',
    };
    const args = ['--workers', '5', '--controllers=2', '--port', '9090', '--data', 'elsewhere'];
    expect(run(args, env)).toMatchObject({
      options: {
        workers: 5,
        controllers: 2,
        partitions: 16,
        port: 9090,
        dataDir: '/home/me/scheduler/elsewhere',
        databaseUrl: 'postgres://db/x',
        zookeeperConnect: 'zk:2181',
        shutdownGraceMs: 500,
        logFormat: 'json',
      },
    });
  });

  it.each([
    [['--wrokers', '5'], "Unknown option '--wrokers'"],
    [['5'], "Unexpected argument '5': flags go after --, as in npm start -- --workers 5"],
    [['--workers'], "Option '--workers <value>' argument missing"],
    [['--workers', 'five'], '--workers: "five": must be a whole number from 1 to 50'],
    [['--workers', '0'], '--workers: "0": must be a whole number from 1 to 50'],
    [['--port', '65536'], '--port: "65536": must be a whole number from 0 to 65535'],
    [['--data', ''], '--data: must name a directory'],
  ])('refuses %j in one line', (args, message) => {
    expect(run(args)).toEqual({ kind: 'invalid', message });
  });

  it('names a wrong variable and keeps its secret', () => {
    const answer = run([], { DATABASE_URL: 'mysql://me:secret@db/x' });
    expect(answer).toMatchObject({
      kind: 'invalid',
      message: expect.stringContaining('DATABASE_URL') as string,
    });
    expect(JSON.stringify(answer)).not.toContain('secret');
  });

  it('reports everything that is wrong at once: flags by their name, variables by theirs', () => {
    const env = {
      PORT: 'wrong, but --port stands over it',
      PARTITIONS: '0',
      SHUTDOWN_GRACE_MS: 'abc',
      LOG_LEVEL: 'loud',
      WORKER_CONCURRENCY: '',
    };
    expect(run(['--port', '0', '--workers', '0', '--data', ''], env)).toEqual({
      kind: 'invalid',
      message: [
        '--data: must name a directory',
        '--workers: "0": must be a whole number from 1 to 50',
        'PARTITIONS: "0": must be a whole number from 1 to 65536',
        'SHUTDOWN_GRACE_MS: "abc": must be a whole number from 0 to 3600000',
        'LOG_LEVEL: "loud": must be one of trace, debug, info, warn, error, fatal',
      ].join('\n'),
    });
  });

  it('gives each process a name of its own, whatever the environment says', () => {
    expect(run([], { WORKER_ID: '/', CONTROLLER_ID: '/' })).toMatchObject({ kind: 'run' });
  });

  it.each(['--help', '-h'])('explains itself at %s', (flag) => {
    expect(run([flag])).toMatchObject({
      kind: 'help',
      text: expect.stringContaining('--workers N') as string,
    });
  });
});
