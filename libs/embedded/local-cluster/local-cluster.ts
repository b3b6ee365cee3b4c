import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Clock } from '../../core/clock.ts';
import { StartupError } from '../../runtime/app-process.ts';
import { findApiPort } from './api-port.ts';
import type { LocalClusterOptions } from './command-line.ts';
import { lockDataDirectory } from './data-directory.ts';
import type { Output } from './output.ts';
import { startPostgresService } from './postgres-service.ts';
import type { Servers } from './processes.ts';
import { appSpecs, workerIds, zookeeperSpec } from './processes.ts';
import { clusterReady } from './readiness.ts';
import type { SupervisedProcess } from './supervised-process.ts';
import { Supervisor } from './supervisor.ts';

export interface LocalClusterRun {
  readonly options: LocalClusterOptions;
  readonly output: Output;
  readonly clock: Clock;
  /** How long a process may take to stop before it is killed. */
  readonly stopGraceMs: number;
  /** Aborted: stop everything in order. */
  readonly stopping: AbortSignal;
  /** Aborted: kill whatever still runs. */
  readonly forcing: AbortSignal;
}

const READY_DEADLINE_MS = 60_000;

/**
 * Runs a whole cluster until it is to stop or one of its processes ends by itself; either way none is left when
 * this resolves.
 *
 * @returns the exit code: 0 after a stop that was asked for
 * @throws StartupError before anything was started: the port or the data directory cannot be had
 */
export async function runLocalCluster(run: LocalClusterRun): Promise<number> {
  const { output, clock, stopGraceMs, stopping, forcing } = run;
  const port = await findApiPort(run.options.host, run.options.port);
  const options = { ...run.options, port };
  const embedded = options.databaseUrl === undefined || options.zookeeperConnect === undefined;
  const release = embedded ? await lockDataDirectory(options.dataDir) : undefined;

  const supervisor = new Supervisor({ output, clock, stopGraceMs });
  forcing.addEventListener('abort', () => supervisor.kill());
  const fault = supervisor.fault.then((what) => ({ fault: what }));
  const stopped = new Promise<'stopped'>((resolve) => {
    if (stopping.aborted) resolve('stopped');
    stopping.addEventListener('abort', () => resolve('stopped'));
  });
  const ready = bringUp({ ...run, options }, supervisor).then(
    (servers) => ({ servers }),
    (error: unknown) => ({ fault: error instanceof StartupError ? error.message : String(error) }),
  );

  const upOrNot = await Promise.race([stopped, fault, ready]);
  let event: 'stopped' | { fault: string };
  if (upOrNot !== 'stopped' && 'servers' in upOrNot) {
    output.say(readyLine(options));
    output.say(adminLine(upOrNot.servers));
    event = await Promise.race([stopped, fault]);
  } else event = upOrNot;
  output.say(event === 'stopped' ? 'stopping' : `${event.fault}: stopping everything`);
  await supervisor.stop();
  release?.();
  output.say('stopped');
  return event === 'stopped' ? 0 : 1;
}

/** Starts everything in order; resolves once a task that is submitted will be handled. */
async function bringUp(run: LocalClusterRun, supervisor: Supervisor): Promise<Servers> {
  const { options, clock, stopping } = run;
  const servers = await startServers(run, supervisor);
  const specs = appSpecs(options, servers);
  await supervisor.run(specs.clusterInit);
  supervisor.start(specs.controllers);
  supervisor.start(specs.workers);
  supervisor.start([specs.api]);
  await clusterReady({
    url: apiUrl(options),
    workerIds: workerIds(options),
    clock,
    deadlineMs: READY_DEADLINE_MS,
    signal: stopping,
  });
  return servers;
}

/** Postgres first, so that it is the last to stop. */
async function startServers(run: LocalClusterRun, supervisor: Supervisor): Promise<Servers> {
  const { databaseUrl, zookeeperConnect, dataDir } = run.options;
  let ownDatabaseUrl: Promise<string> | undefined;
  if (databaseUrl === undefined) {
    const postgres = startPostgresService(join(dataDir, 'postgres'), run.output);
    supervisor.adopt(postgres);
    ownDatabaseUrl = postgres.url;
  }
  const zookeeperDir = join(dataDir, zookeeperDirName(databaseUrl));
  const [zookeeper] =
    zookeeperConnect === undefined ? supervisor.start([zookeeperSpec(zookeeperDir, run.options)]) : [];
  return {
    databaseUrl: databaseUrl ?? (await ownDatabaseUrl) ?? '',
    zookeeperConnect: zookeeperConnect ?? (await addressOf(zookeeper)),
  };
}

/**
 * A directory for each database: the ZooKeeper of a cluster knows which database it goes with, and would refuse
 * another one. One that is new is filled from the database.
 */
function zookeeperDirName(databaseUrl: string | undefined): string {
  if (databaseUrl === undefined) return 'zookeeper';
  const { hostname, port, pathname } = new URL(databaseUrl);
  const database = `${hostname}:${port === '' ? '5432' : port}${pathname}`;
  return `zookeeper-${createHash('sha256').update(database).digest('hex').slice(0, 8)}`;
}

/** What the process of a server says once it can be reached. */
async function addressOf(server: SupervisedProcess | undefined): Promise<string> {
  const message = await server?.message();
  if (typeof message !== 'string') throw new StartupError(`${server?.name ?? 'a server'} gave no address`);
  return message;
}

function apiUrl({ host, port }: LocalClusterOptions): string {
  const everywhere = host === '0.0.0.0' || host === '::';
  return `http://${everywhere ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host}:${port}`;
}

function readyLine(options: LocalClusterOptions): string {
  const url = apiUrl(options);
  return (
    `ready: ${url} (${options.workers} workers; Ctrl-C stops everything)  ` +
    `try: curl -X POST ${url}/tasks -H 'Content-Type: application/json' -d '{"name":"hello"}'`
  );
}

/** The embedded ZooKeeper takes any free port: nobody could know it otherwise. */
function adminLine({ zookeeperConnect }: Servers): string {
  return `look into it: ZOOKEEPER_CONNECT=${zookeeperConnect} npm run cluster -- status`;
}
