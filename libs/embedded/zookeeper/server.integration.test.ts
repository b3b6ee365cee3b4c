/** The server over real sockets, as the client of the product's own dependency sees it, bare and unmended. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect as connectSocket } from 'node:net';
import { text } from 'node:stream/consumers';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import zookeeper from 'node-zookeeper-client';
import type { Client } from 'node-zookeeper-client';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock, systemRandom } from '../../runtime/system.ts';
import { eventually } from '../../testing/eventually.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { create, setData } from '../../testing/zookeeper/machine-driver.ts';
import { ConnectionEnded, RawClient } from '../../testing/zookeeper/raw-client.ts';
import type { Request } from './protocol.ts';
import type { ZooKeeperServer, ZooKeeperServerOptions } from './server.ts';
import { startZooKeeperServer } from './server.ts';

const TICK_MS = 50;
const release: (() => unknown)[] = [];
let server: ZooKeeperServer;

async function start(options: Partial<ZooKeeperServerOptions> = {}): Promise<ZooKeeperServer> {
  const ports = { clock: systemClock, random: systemRandom };
  const started = await startZooKeeperServer({ port: 0, tickTimeMs: TICK_MS, ...ports, ...options });
  release.push(() => started.close());
  return started;
}

async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'zookeeper-server-'));
  release.push(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

beforeEach(async () => {
  server = await start();
});
afterEach(async () => {
  for (const each of release.splice(0).reverse()) await each();
});

const raw = (timeOut = 1_000) => RawClient.connect(server.connectString, { timeOut });
const exists = (path: string, watch = false): Request => ({ type: 'exists', path, watch });
const sync: Request = { type: 'sync', path: '/' };

describe('node-zookeeper-client', () => {
  async function connected(): Promise<Client> {
    const options = { sessionTimeout: 1_000, spinDelay: 50, retries: 0 } as const;
    const client = zookeeper.createClient(server.connectString, options);
    release.push(() => client.close());
    client.connect();
    await once(client, 'connected');
    return client;
  }
  const createZnode = (client: Client, path: string, mode: number) =>
    new Promise<string>((resolve, reject) => {
      client.create(path, Buffer.from('data'), mode, (error, created) =>
        error ? reject(error) : resolve(created),
      );
    });
  const read = (client: Client, path: string, watcher?: (event: { path: string }) => void) =>
    new Promise<string | undefined>((resolve, reject) => {
      client.getData(path, watcher, (error, data) => (error ? reject(error) : resolve(data?.toString())));
    });

  it('creates, reads, watches and is told its errors', async () => {
    const client = await connected();
    const { PERSISTENT, EPHEMERAL_SEQUENTIAL } = zookeeper.CreateMode;
    expect(await createZnode(client, '/a', PERSISTENT)).toBe('/a');
    expect(await createZnode(client, '/a/e-', EPHEMERAL_SEQUENTIAL)).toBe('/a/e-0000000000');
    await expect(createZnode(client, '/a', PERSISTENT)).rejects.toMatchObject({ name: 'NODE_EXISTS' });

    const changed = new Promise<{ path: string }>((resolve) => {
      void read(client, '/a', resolve);
    });
    const failed = new Promise((resolve) => {
      client.transaction().setData('/a', Buffer.from('x'), -1).check('/none', 3).commit(resolve);
    });
    expect(await failed).toMatchObject({ name: 'NO_NODE' });
    expect(await read(client, '/a')).toBe('data');
    await new Promise((resolve) => {
      client.transaction().setData('/a', Buffer.from('x'), -1).commit(resolve);
    });
    expect(await changed).toMatchObject({ path: '/a' });
    expect(await read(client, '/a')).toBe('x');
  });

  it('comes back to its session after its connection was cut, and gets the event it missed', async () => {
    const client = await connected();
    await createZnode(client, '/a', zookeeper.CreateMode.PERSISTENT);
    const changed = new Promise<{ path: string }>((resolve) => {
      void read(client, '/a', resolve);
    });
    await read(client, '/a');
    const session = client.connectionManager.sessionId;
    const disconnected = once(client, 'disconnected');
    server.faults.refuseConnections(true);
    server.faults.dropConnections();
    await disconnected;
    server.faults.refuseConnections(false);
    const writer = await raw();
    await writer.request(setData('/a', 'x'));
    expect(await changed).toMatchObject({ path: '/a' });
    expect(client.connectionManager.sessionId).toEqual(session);
  });

  it('is told that its session has expired', async () => {
    const client = await connected();
    const expired = once(client, 'expired');
    server.faults.expireSession(client.connectionManager.sessionId.readBigInt64BE());
    await expired;
  });
});

describe('connections', () => {
  it('a session that is taken up elsewhere loses its old connection', async () => {
    const first = await raw();
    const { sessionId, passwd } = first.session;
    const second = await RawClient.connect(server.connectString, { sessionId, passwd });
    await first.closed();
    expect(second.session.sessionId).toBe(sessionId);
    expect(await second.request(sync)).toMatchObject({ err: 0 });
  });

  it('one who knows a session’s id and not its password cuts its connection, and gets nothing else', async () => {
    const owner = await raw();
    const { sessionId, passwd } = owner.session;
    const impostor = await RawClient.connect(server.connectString, {
      sessionId,
      passwd: Buffer.alloc(16, 1),
    });
    expect(impostor.session.timeOut).toBe(0);
    await owner.closed();
    const back = await RawClient.connect(server.connectString, { sessionId, passwd });
    expect(back.session.sessionId).toBe(sessionId);
  });

  it.each([
    ['checkWatches', 17],
    ['multiRead', 22],
    ['setWatches2', 105],
    ['addWatch', 106],
    ['whoAmI', 107],
  ])('%s is not spoken here: the client is told, and keeps its session', async (_name, opcode) => {
    const client = await raw();
    expect(await client.requestUnknown(opcode)).toMatchObject({ err: -6 });
    await client.closed();
    const { sessionId, passwd } = client.session;
    const back = await RawClient.connect(server.connectString, { sessionId, passwd });
    expect(await back.request(sync)).toMatchObject({ err: 0 });
  });

  it('an unknown session is answered with a timeout of 0 and closed', async () => {
    const client = await RawClient.connect(server.connectString, { sessionId: 42n });
    expect(client.session).toMatchObject({ timeOut: 0, sessionId: 0n });
    await client.closed();
  });

  it('a client ahead of the server is closed without a word', async () => {
    const ahead = RawClient.connect(server.connectString, { lastZxidSeen: 1_000n });
    await expect(ahead).rejects.toBeInstanceOf(ConnectionEnded);
  });

  it('a packet of 1 MiB ends the connection and nothing else', async () => {
    const [client, other] = [await raw(), await raw()];
    const big: Request = { type: 'setData', path: '/', data: Buffer.alloc(1_048_576), version: -1 };
    await expect(client.request(big)).rejects.toBeInstanceOf(ConnectionEnded);
    expect(await other.request(sync)).toMatchObject({ err: 0 });
  });

  it('bytes that make no sense end the connection that sent them', async () => {
    for (const junk of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from([0, 0, 0, 3, 1, 2, 3])]) {
      const socket = connectSocket({ port: server.port, host: '127.0.0.1' });
      socket.write(junk);
      await once(socket.resume(), 'close');
    }
    expect(await (await raw()).request(sync)).toMatchObject({ err: 0 });
  });

  it('health checks ask ruok, people srvr', async () => {
    const ask = (word: string) => text(connectSocket({ port: server.port, host: '127.0.0.1' }).end(word));
    expect(await ask('ruok')).toBe('imok');
    expect(await ask('srvr')).toContain('Mode: standalone\nNode count: 4');
    const received = async () => Number(/^Received: (\d+)$/m.exec(await ask('srvr'))?.[1]);
    const before = await received();
    await (await raw()).request(sync);
    // A handshake, a request, and the question itself.
    expect((await received()) - before).toBe(3);
  });

  it('a silent client loses its session, and its ephemerals go', async () => {
    const clock = new ManualClock();
    server = await start({ clock });
    const [silent, watcher] = [await raw(2 * TICK_MS), await raw(20 * TICK_MS)];
    await silent.request(create('/e', 1));
    await watcher.request(exists('/e', true));
    await clock.advance(4 * TICK_MS);
    await silent.closed();
    await watcher.request(sync);
    expect(watcher.events).toEqual([{ type: 'NODE_DELETED', path: '/e' }]);
  });

  it('one that never says who it is is closed in the end', async () => {
    const clock = new ManualClock();
    server = await start({ clock });
    const mute = connectSocket({ port: server.port, host: '127.0.0.1' }).resume();
    await once(mute, 'connect');
    const closed = once(mute, 'close');
    // Whoever comes later has been accepted later: the server knows of the mute one by now.
    await raw();
    await clock.advance(22 * TICK_MS);
    await closed;
  });
});

describe('faults', () => {
  it('a frozen server neither answers nor expires anyone; thawed, it goes on where it was', async () => {
    const clock = new ManualClock();
    server = await start({ clock });
    const client = await raw(2 * TICK_MS);
    server.faults.freeze();
    const newcomer = raw();
    let answered = false;
    const reply = client.request(create('/a')).finally(() => (answered = true));
    await clock.advance(50 * TICK_MS);
    expect(answered).toBe(false);
    expect(server.faults.sessions()).toHaveLength(1);
    server.faults.thaw();
    expect(await reply).toMatchObject({ err: 0 });
    expect((await newcomer).session.timeOut).toBeGreaterThan(0);
  });

  it('behind a network that swallows everything a session expires, and its client is not told', async () => {
    const clock = new ManualClock();
    server = await start({ clock });
    const client = await raw(2 * TICK_MS);
    server.faults.freeze({ expireSessions: true });
    let closed = false;
    const end = client.closed().then(() => (closed = true));
    await clock.advance(4 * TICK_MS);
    expect(server.faults.sessions()).toEqual([]);
    expect(closed).toBe(false);
    server.faults.thaw();
    await end;
  });

  it('a lost reply belongs to a request that was carried out', async () => {
    const [client, other] = [await raw(), await raw()];
    const lost = server.faults.dropNextReply(({ type }) => type === 'create');
    expect(await client.request(sync)).toMatchObject({ err: 0 });
    await expect(client.request(create('/a'))).rejects.toBeInstanceOf(ConnectionEnded);
    await lost;
    expect(await other.request(exists('/a'))).toMatchObject({ err: 0 });
    expect(await other.request(create('/b'))).toMatchObject({ err: 0 });
  });

  it('replies that are delayed keep their order, also when the delay ends', async () => {
    const clock = new ManualClock();
    server = await start({ clock });
    const client = await raw(20 * TICK_MS);
    const order: string[] = [];
    const timers = clock.pending;
    server.faults.delayReplies(TICK_MS / 2);
    const slow = client.request(create('/a')).then(() => order.push('slow'));
    await eventually('the reply waits', () => clock.pending > timers, { withinMs: 5_000 });
    server.faults.delayReplies(0);
    const after = client.request(sync).then(() => order.push('after'));
    await (await raw()).request(sync);
    expect(order).toEqual([]);
    await clock.advance(TICK_MS / 2);
    await Promise.all([slow, after]);
    expect(order).toEqual(['slow', 'after']);
  });

  it('wiped, it is another server: clients that have seen the old one are not answered', async () => {
    const client = await raw();
    const { zxid } = await client.request(create('/a'));
    server.faults.wipe();
    await client.closed();
    const { sessionId, passwd } = client.session;
    const back = RawClient.connect(server.connectString, { sessionId, passwd, lastZxidSeen: zxid });
    await expect(back).rejects.toBeInstanceOf(ConnectionEnded);
    expect(await (await raw()).request(exists('/a'))).toMatchObject({ err: -101 });
  });
});

describe('a server with a data directory', () => {
  it('started again, takes its clients back with their ephemerals', async () => {
    const dataDir = await temporaryDirectory();
    server = await start({ dataDir });
    const client = await raw(1_000);
    const { zxid } = await client.request(create('/e', 1));
    const { port } = server;
    await server.close();
    server = await start({ dataDir, port });
    const { sessionId, passwd } = client.session;
    const back = await RawClient.connect(server.connectString, { sessionId, passwd, lastZxidSeen: zxid });
    expect(back.session.sessionId).toBe(sessionId);
    expect(await back.request(exists('/e'))).toMatchObject({ body: { stat: { ephemeralOwner: sessionId } } });
  });

  it('told that its clients ended with it, starts without their sessions', async () => {
    const dataDir = await temporaryDirectory();
    server = await start({ dataDir });
    await (await raw()).request(create('/e', 1));
    await server.close();
    server = await start({ dataDir, sessionsOnOpen: 'expire' });
    expect(server.faults.sessions()).toEqual([]);
    expect(await (await raw()).request(exists('/e'))).toMatchObject({ err: -101 });
  });

  it('refuses a directory in use and a port in use, and leaves both as they were', async () => {
    const dataDir = await temporaryDirectory();
    const holder = await start({ dataDir });
    await expect(start({ dataDir })).rejects.toMatchObject({ code: 'DATA_DIR_IN_USE' });
    const free = await temporaryDirectory();
    await expect(start({ dataDir: free, port: holder.port })).rejects.toMatchObject({
      code: 'CANNOT_LISTEN',
      message: `cannot listen on 127.0.0.1:${holder.port}: the port is in use`,
    });
    await start({ dataDir: free });
  });
});
