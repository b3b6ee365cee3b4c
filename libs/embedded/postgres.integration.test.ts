import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startEmbeddedPostgres } from './postgres.ts';
import type { EmbeddedPostgres, EmbeddedPostgresOptions } from './postgres.ts';

const isRoot = process.getuid?.() === 0;

describe('embedded Postgres', () => {
  let home: string;
  let dataDir: string;
  const servers: EmbeddedPostgres[] = [];
  const children: ChildProcess[] = [];

  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'embedded-postgres-'));
    await chmod(home, 0o755);
    dataDir = join(home, 'postgres');
  });
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    for (const server of servers.splice(0)) await server.stop();
    await chmod(home, 0o755);
    await rm(home, { recursive: true });
  });

  async function start(options: Partial<EmbeddedPostgresOptions> = {}): Promise<EmbeddedPostgres> {
    const server = await startEmbeddedPostgres({ dataDir, settings: { fsync: 'off' }, ...options });
    servers.push(server);
    return server;
  }

  /** The server under a parent of its own; resolves with what that reports. */
  async function startUnderParent(account?: { uid: number; gid: number }) {
    const child = spawn(
      process.execPath,
      ['bin/run.mjs', resolve('libs/testing/start-postgres.ts'), dataDir],
      { ...account, stdio: ['ignore', 'pipe', 'inherit'] },
    );
    children.push(child);
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    return { child, report: JSON.parse(line) as { url: string; pid: number; error?: string } };
  }

  async function query(url: string, text: string): Promise<unknown[]> {
    const client = new pg.Client(url);
    client.on('error', () => undefined);
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(text)).rows;
    } finally {
      await client.end();
    }
  }

  const isAlive = (pid: number) => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };

  it('keeps its data over a stop and a start, and leaves no process behind', async () => {
    const first = await start();
    await query(first.url, 'CREATE TABLE kept AS SELECT 1 AS n');
    await first.stop();
    expect(isAlive(first.pid)).toBe(false);

    const second = await start();
    expect(await query(second.url, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
  });

  it('restarts on the same port, after a crash as well', async () => {
    const ends: string[] = [];
    const server = await start({ onUnexpectedExit: (reason) => ends.push(reason) });
    const { pid } = server;
    await query(server.url, 'CREATE TABLE kept AS SELECT 1 AS n');

    await server.restart('immediate');
    expect(server.pid).not.toBe(pid);
    expect(await query(server.url, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);

    process.kill(server.pid, 'SIGKILL');
    await vi.waitFor(() => expect(ends).toEqual([expect.stringContaining('SIGKILL')]));
    await server.restart();
    expect(await query(server.url, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
  });

  it('listens on the loopback address only, and lets nobody in without the password', async () => {
    const server = await start();
    expect(await query(server.url, 'SHOW listen_addresses')).toEqual([{ listen_addresses: '127.0.0.1' }]);
    const guess = new URL(server.url);
    guess.password = 'password';
    await expect(query(guess.href, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });
  });

  it('names the port that is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    await expect(start({ port })).rejects.toThrow(new RegExp(`^port ${port} is taken$`));
    other.close();
  });

  it('names the data directory that another server uses', async () => {
    const { pid } = await start();
    await expect(start()).rejects.toThrow(`${dataDir} is in use by a running server (pid ${pid})`);
  });

  it('starts again after its parent was killed: the server of before has shut down', async () => {
    const { child, report } = await startUnderParent();
    await query(report.url, 'CREATE TABLE kept AS SELECT 1 AS n');
    child.kill('SIGKILL');

    const next = await start();
    await expect(query(report.url, 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect(await query(next.url, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
  });

  it('starts over a lock file whose pid is some other program’s by now', async () => {
    const server = await start();
    await server.stop();
    const other = spawn('sleep', ['60']);
    children.push(other);
    await writeFile(join(dataDir, 'cluster/postmaster.pid'), `${String(other.pid)}\n`);

    const next = await start();
    expect(await query(next.url, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  });

  it('says in one line that it cannot write there', async () => {
    await chmod(home, 0o555);
    const { report } = await startUnderParent(isRoot ? { uid: 65_534, gid: 65_534 } : undefined);
    expect(report.error).toMatch(/^Postgres data directory \S+ is not writable \(E(ACCES|PERM)\)$/);
  });

  it.runIf(isRoot)('as root, names the directory on the way that its account may not enter', async () => {
    await chmod(home, 0o700);
    await expect(start()).rejects.toThrow(`which may not enter ${home}`);
  });

  it.runIf(isRoot)('as root, goes on with data that an ordinary user has made', async () => {
    await mkdir(dataDir);
    await chown(dataDir, 65_534, 65_534);
    const { child, report } = await startUnderParent({ uid: 65_534, gid: 65_534 });
    await query(report.url, 'CREATE TABLE kept AS SELECT 1 AS n');
    child.kill('SIGKILL');

    const server = await start();
    expect(await query(server.url, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
  });
});
