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
      },
    });
  });

  it('takes what the flags say over what the environment says', () => {
    const env = {
      PORT: '1111',
      PARTITIONS: '16',
      DATABASE_URL: 'postgres://db/x',
      ZOOKEEPER_CONNECT: 'zk:2181',
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
      },
    });
  });

  it.each([
    [['--wrokers', '5'], "Unknown option '--wrokers'"],
    [['five'], "Unexpected argument 'five'"],
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

  it('explains itself', () => {
    expect(run(['--help'])).toMatchObject({
      kind: 'help',
      text: expect.stringContaining('--workers N') as string,
    });
  });
});
