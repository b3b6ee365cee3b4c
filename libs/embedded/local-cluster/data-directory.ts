import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import type { Server } from 'node:net';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { StartupError } from '../../runtime/app-process.ts';

/** What a lock file says: its holder answers on `port` with `token` as long as it lives. */
interface Holder {
  readonly pid: number;
  readonly port: number;
  readonly token: string;
}

export interface DataDirectoryLock {
  release(): Promise<void>;
}

const ANSWER_DEADLINE_MS = 1_000;
const MAX_TRIES = 5;

/**
 * Creates `dir` where it is missing, and keeps it for this process until released.
 *
 * The holder of a lock file proves that it lives by answering on a loopback port. So a lock whose holder was
 * killed never stands in the way, not even when another process has got its pid since. Two processes that
 * remove the same dead lock in the same moment could both go on; Postgres then refuses the second.
 *
 * @throws StartupError with one line for the user: in use, or not writable
 */
export async function lockDataDirectory(dir: string): Promise<DataDirectoryLock> {
  const token = randomUUID();
  const server = createServer((socket) => socket.on('error', () => socket.destroy()).end(token));
  server.unref();
  const holder: Holder = { pid: process.pid, port: await listen(server), token };
  const file = join(dir, 'lock');
  const draft = join(dir, `lock-${token}`);
  try {
    await mkdir(dir, { recursive: true });
    await writeFile(draft, JSON.stringify(holder));
    await acquire(file, draft, dir);
  } catch (error) {
    server.close();
    throw error instanceof StartupError ? error : new StartupError(unusable(dir, error));
  } finally {
    await rm(draft, { force: true }).catch(() => undefined);
  }
  return {
    async release() {
      await rm(file, { force: true });
      server.close();
    },
  };
}

/** Puts `draft` in the place of `file`, all at once, unless a living process holds it. */
async function acquire(file: string, draft: string, dir: string): Promise<void> {
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    try {
      await link(draft, file);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = await readHolder(file);
    if (holder !== undefined && (await isAlive(holder))) {
      throw new StartupError(
        `the data directory ${dir} is in use by process ${holder.pid}: stop that, or choose another with --data`,
      );
    }
    await rm(file, { force: true });
  }
  throw new StartupError(`the data directory ${dir} is being taken by other processes: try again`);
}

async function readHolder(file: string): Promise<Holder | undefined> {
  try {
    const said: unknown = JSON.parse(await readFile(file, 'utf8'));
    const { pid, port, token } = said as Partial<Holder>;
    if (typeof pid !== 'number' || typeof port !== 'number' || typeof token !== 'string') return undefined;
    return { pid, port, token };
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function isAlive(holder: Holder): Promise<boolean> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(holder.port, '127.0.0.1').setEncoding('utf8').setTimeout(ANSWER_DEADLINE_MS);
    socket.on('data', (text: string) => (answer += text.slice(0, holder.token.length)));
    socket.on('timeout', () => socket.destroy()).on('error', () => socket.destroy());
    socket.on('close', () => resolve(answer === holder.token));
  });
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
}

function unusable(dir: string, error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const why =
    code === 'EACCES' || code === 'EPERM'
      ? 'no permission to write there'
      : code === 'EROFS'
        ? 'the file system is read-only'
        : code === 'ENOTDIR' || code === 'EEXIST'
          ? 'it is, or lies under, a file'
          : code === 'ENOSPC'
            ? 'the disk is full'
            : message;
  return `cannot use the data directory ${dir}: ${why}; choose another with --data`;
}
