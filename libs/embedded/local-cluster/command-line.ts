/** What `npm start -- …` may say, on top of the environment. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Config, Setting, Settings } from '../../runtime/config.ts';
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
  /** How long a stopping worker lets its handlers finish. */
  readonly shutdownGraceMs: number;
  /** What the processes write; their output is no terminal to judge by. */
  readonly logFormat: 'json' | 'pretty';
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
  --help           this text; also -h

Where DATABASE_URL or ZOOKEEPER_CONNECT is set, that server is used instead of an embedded one.
WORKER_ID and CONTROLLER_ID are numbered, LOG_FORMAT is pretty unless it says json; the other variables of the
README's table are passed on to the processes as they are.`;

/** Each stands over the variable of the same meaning, if there is one. */
const FLAGS = {
  '--workers': integer({ description: 'workers', default: '3', min: 1, max: 50 }),
  '--controllers': integer({ description: 'controllers', default: '1', min: 1, max: 9 }),
  '--partitions': optional(settings.PARTITIONS),
  '--port': optional(settings.PORT),
};

/** What the processes are going to read. Their names are not the user's to choose: each has its own. */
const { WORKER_ID: _workerId, CONTROLLER_ID: _controllerId, ...passedOn } = settings;
const VARIABLES = {
  ...passedOn,
  DATABASE_URL: optional(settings.DATABASE_URL),
  ZOOKEEPER_CONNECT: optional(settings.ZOOKEEPER_CONNECT),
};

/**
 * Reads the flags, and from the environment what no flag says; all that is wrong with them is reported at once.
 * @param cwd what a relative `--data` starts from
 */
export function readCommandLine(args: readonly string[], env: NodeJS.ProcessEnv, cwd: string): CommandLine {
  const string = { type: 'string' } as const;
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        workers: string,
        controllers: string,
        partitions: string,
        port: string,
        data: string,
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help) return { kind: 'help', text: USAGE };

    const faults = values.data === '' ? ['--data: must name a directory'] : [];
    const flags = read(faults, FLAGS, {
      '--workers': values.workers,
      '--controllers': values.controllers,
      '--partitions': values.partitions,
      '--port': values.port,
    });
    // What a flag stands over is not looked at.
    const variables = read(faults, VARIABLES, {
      ...env,
      ...(values.partitions !== undefined && { PARTITIONS: '' }),
      ...(values.port !== undefined && { PORT: '' }),
    });
    if (flags === undefined || variables === undefined || faults.length > 0) {
      return { kind: 'invalid', message: faults.join('\n') };
    }
    return {
      kind: 'run',
      options: {
        workers: flags['--workers'],
        controllers: flags['--controllers'],
        partitions: flags['--partitions'] ?? variables.PARTITIONS,
        host: variables.HOST,
        port: flags['--port'] ?? variables.PORT,
        dataDir: resolve(cwd, values.data ?? '.data'),
        databaseUrl: variables.DATABASE_URL,
        zookeeperConnect: variables.ZOOKEEPER_CONNECT,
        shutdownGraceMs: variables.SHUTDOWN_GRACE_MS,
        logFormat: variables.LOG_FORMAT === 'json' ? 'json' : 'pretty',
      },
    };
  } catch (error) {
    return { kind: 'invalid', message: explain(error as Error) };
  }
}

/** As {@link readConfig}, with what is wrong added to `faults`. */
function read<S extends Settings>(faults: string[], from: S, env: NodeJS.ProcessEnv): Config<S> | undefined {
  try {
    return readConfig(from, env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    faults.push(...error.faults);
    return undefined;
  }
}

function optional<T>(setting: Setting<T>): Setting<T | undefined> {
  return { ...setting, default: '', parse: (text) => (text === '' ? undefined : setting.parse(text)) };
}

/** In one line what parseArgs found: after the first sentence it explains itself at length. */
function explain({ message }: Error): string {
  const what = message.split(/\. |\n/)[0] ?? '';
  // npm keeps `--workers` of `npm start --workers 5` for itself.
  const hint = 'flags go after --, as in npm start -- --workers 5';
  return what.startsWith('Unexpected argument') ? `${what}: ${hint}` : what;
}
