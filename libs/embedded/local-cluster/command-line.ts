/** What `npm start -- …` may say, on top of the environment. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Setting } from '../../runtime/config.ts';
import { ConfigError, integer, readConfig } from '../../runtime/config.ts';
import { settings } from '../../runtime/settings.ts';

export interface LocalClusterOptions {
  readonly workers: number;
  readonly controllers: number;
  readonly partitions: number;
  /** Address and port of the API; port 0 is any free one. */
  readonly host: string;
  readonly port: number;
  /** Absolute path: where the embedded servers keep their data. */
  readonly dataDir: string;
  /** Servers to use instead of the embedded ones. */
  readonly databaseUrl: string | undefined;
  readonly zookeeperConnect: string | undefined;
}

export type CommandLine =
  | { readonly kind: 'run'; readonly options: LocalClusterOptions }
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'invalid'; readonly message: string };

const USAGE = `usage: npm start -- [--workers N] [--controllers N] [--partitions N] [--port N] [--data DIR]

Runs the whole scheduler on this machine, each part in a process of its own.

  --workers N      worker-node processes (3)
  --controllers N  controller processes: one leads, the others stand by (1)
  --partitions N   partitions of a new cluster; fixed once it exists (PARTITIONS, or 64)
  --port N         port of the API (PORT, or 8080); 0 for any free one
  --data DIR       where Postgres and ZooKeeper keep their data (.data)
  --help           this text

Where DATABASE_URL or ZOOKEEPER_CONNECT is set, that server is used instead of an embedded one.
All other variables of the README's table are passed on to the processes.`;

/** The flags that are numbers: each stands over a setting of the same form. */
const NUMBERS = {
  '--workers': integer({ description: 'workers', default: '3', min: 1, max: 50 }),
  '--controllers': integer({ description: 'controllers', default: '1', min: 1, max: 9 }),
  '--partitions': settings.PARTITIONS,
  '--port': settings.PORT,
};

/**
 * Reads the flags, and from the environment what no flag says.
 * @param cwd what a relative `--data` starts from
 */
export function readCommandLine(args: readonly string[], env: NodeJS.ProcessEnv, cwd: string): CommandLine {
  const string = { type: 'string' } as const;
  try {
    const { values: flags } = parseArgs({
      args: [...args],
      options: {
        workers: string,
        controllers: string,
        partitions: string,
        port: string,
        data: string,
        help: { type: 'boolean' },
      },
    });
    if (flags.help) return { kind: 'help', text: USAGE };
    const numbers = readConfig(NUMBERS, {
      '--workers': flags.workers,
      '--controllers': flags.controllers,
      '--partitions': flags.partitions ?? env['PARTITIONS'],
      '--port': flags.port ?? env['PORT'],
    });
    const given = readConfig(
      {
        HOST: settings.HOST,
        DATABASE_URL: optional(settings.DATABASE_URL),
        ZOOKEEPER_CONNECT: optional(settings.ZOOKEEPER_CONNECT),
      },
      env,
    );
    if (flags.data === '') return { kind: 'invalid', message: '--data: must name a directory' };
    return {
      kind: 'run',
      options: {
        workers: numbers['--workers'],
        controllers: numbers['--controllers'],
        partitions: numbers['--partitions'],
        host: given.HOST,
        port: numbers['--port'],
        dataDir: resolve(cwd, flags.data ?? '.data'),
        databaseUrl: given.DATABASE_URL,
        zookeeperConnect: given.ZOOKEEPER_CONNECT,
      },
    };
  } catch (error) {
    return { kind: 'invalid', message: oneLine(error) };
  }
}

function optional<T>(setting: Setting<T>): Setting<T | undefined> {
  return { ...setting, default: '', parse: (text) => (text === '' ? undefined : setting.parse(text)) };
}

function oneLine(error: unknown): string {
  if (error instanceof ConfigError) return error.faults.join('; ');
  // parseArgs explains itself at length after the first sentence.
  return (error as Error).message.split(/\. |\n/)[0] ?? '';
}
