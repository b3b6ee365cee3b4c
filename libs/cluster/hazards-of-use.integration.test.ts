/** As hazards.integration.test.ts; here it is what a user does, or what happens to his process, that goes wrong. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import ConnectionManager from 'node-zookeeper-client/lib/ConnectionManager.js';
import jute from 'node-zookeeper-client/lib/jute/index.js';
import zookeeper from 'node-zookeeper-client';
import { describe, expect, it } from 'vitest';
import { systemClock, systemRandom } from '../runtime/system.ts';
import { OPEN_ACL } from '../embedded/zookeeper/acl.ts';
import { eventually } from '../testing/eventually.ts';
import { useHazards, within } from '../testing/hazards.ts';
import type { ClientKind } from '../testing/hazards.ts';
import type { TcpProxy } from '../testing/tcp-proxy.ts';
import { RawClient } from '../testing/zookeeper/raw-client.ts';
import { HardenedConnection, request } from './hardened-connection.ts';
import type { ZooKeeper } from './zookeeper.ts';

const { SET_WATCHES } = jute.OP_CODES;
const SOON = { withinMs: 5_000 };
const TICK_MS = 400;

describe.concurrent('hazards of using node-zookeeper-client', () => {
  const { hazard, gone, observer, server } = useHazards(TICK_MS);

  hazard(
    'on a reconnect, what was queued goes ahead of the watches',
    async ({ startConnected, proxy, path }) => {
      const client = await startConnected({ sessionTimeoutMs: 20 * TICK_MS });
      await client.watchExistence(path, () => {});
      const sent = recordRequests(proxy);
      proxy.refuse();
      proxy.cut();
      await eventually('disconnected', () => !client.isConnected(), SOON);
      void client.read(path).catch(() => undefined);
      proxy.forward();
      await eventually('connected', () => client.isConnected(), SOON);
      await client.read(path);
      return sent.slice(0, 2).map((type) => (type === SET_WATCHES ? 'the watches' : 'a read'));
    },
    { bare: ['a read', 'the watches'], hardened: ['the watches', 'a read'] },
  );

  hazard(
    'a session ended without a connection keeps its ephemerals until it expires',
    async ({ startConnected, proxy, path }) => {
      const client = await startConnected({ sessionTimeoutMs: 20 * TICK_MS });
      await client.createEphemeral(`${path}/ephemeral`);
      proxy.refuse();
      proxy.cut();
      await eventually('disconnected', () => !client.isConnected(), SOON);
      const ended = client.end();
      proxy.forward();
      await ended;
      const free = await within(800, async () => (await observer().exists(`${path}/ephemeral`)) === null);
      return free ? 'gone at once' : 'left behind';
    },
    { bare: 'left behind', hardened: 'gone at once' },
  );

  hazard(
    'a sequential create whose answer is lost is made twice',
    async ({ startConnected, proxy, path }) => {
      const client = await startConnected({ sessionTimeoutMs: 20 * TICK_MS, retries: 3 });
      proxy.blackHole('TO_CLIENT');
      const made = client.createSequential(path, 's-');
      const children = async () => (await observer().getChildren(path)).children.length;
      await eventually('applied', async () => (await children()) > 0, SOON);
      proxy.cut();
      proxy.forward();
      await made;
      return children();
    },
    { bare: 2, hardened: 1 },
  );

  hazard(
    'a znode without data reads as no buffer',
    async ({ startConnected, path }) => {
      const raw = await RawClient.connect(server().connectString);
      const node = { path: `${path}/null`, data: null, acl: OPEN_ACL, flags: 0 };
      await raw.request({ type: 'create', ...node });
      await raw.cut();
      const data: unknown = await (await startConnected()).read(`${path}/null`);
      return Buffer.isBuffer(data) ? `a buffer of ${data.length}` : String(data);
    },
    { bare: 'undefined', hardened: 'a buffer of 0' },
  );

  hazard(
    'a client that is ended as soon as it was started ends its process',
    async ({ kind, proxy, path }) => {
      const { said, exited, stop } = startProcess(kind, 'ends at once', proxy.connectString, path);
      await Promise.race([eventually('ready', () => said.includes('ready'), { withinMs: 20_000 }), exited]);
      // Long enough for what it has begun to come back to it.
      let ended = false;
      void exited.then(() => (ended = true));
      const crashed = await within(500, () => ended);
      stop();
      return crashed || (await exited) !== 0 ? 'crashes' : 'ends';
    },
    { bare: 'crashes', hardened: 'ends' },
  );

  hazard(
    'an error thrown in a listener leaves it without pings, and its session to expire',
    async ({ kind, proxy, path }) => {
      const process = startProcess(kind, 'throws on connecting', proxy.connectString, `${path}/ephemeral`);
      await eventually('ready', () => process.said.includes('ready'), { withinMs: 20_000 });
      const lost = await within(4_500, async () => (await observer().exists(`${path}/ephemeral`)) === null);
      process.stop();
      await process.exited;
      return lost ? 'loses its session' : 'keeps its session';
    },
    { bare: 'loses its session', hardened: 'keeps its session' },
  );

  hazard(
    'a process frozen past its session goes on as if nothing had happened',
    async ({ kind, proxy, path }) => {
      const process = startProcess(kind, 'is frozen', proxy.connectString, `${path}/ephemeral`);
      await eventually('ready', () => process.said.includes('ready'), { withinMs: 20_000 });
      process.kill('SIGSTOP');
      await gone(`${path}/ephemeral`);
      process.kill('SIGCONT');
      const does = await eventually('resumed', () => process.said[1], { withinMs: 10_000 });
      process.stop();
      await process.exited;
      return does;
    },
    { bare: 'acts', hardened: 'refrains' },
  );

  it('the numbers of its requests run out after 2^31 of them', async () => {
    const connectString = server().connectString;
    const options = { connectString, sessionTimeoutMs: 2_000, clock: systemClock, random: systemRandom };
    const nothing = () => undefined;
    const events = { onState: nothing, onSilence: nothing, onSocketError: nothing };
    const hardened = new HardenedConnection({ ...options, ...events });
    const bare = new ConnectionManager(connectString, { sessionTimeout: 2_000, spinDelay: 50 }, nothing);
    const outcomes = await Promise.all([requestsBeyond(bare), requestsBeyond(hardened)]);
    bare.connect = nothing;
    bare.socket?.destroy();
    hardened.destroy();
    expect(outcomes).toEqual(['throws', 'answers']);
  });

  it('data that is null throws; ours takes buffers only', () => {
    const options = { sessionTimeout: 1_000, spinDelay: 50, retries: 0 };
    const client = zookeeper.createClient('127.0.0.1:1', options);
    expect(() => client.setData('/a', null, -1, () => undefined)).toThrow(TypeError);
    // @ts-expect-error null is no buffer: such a program is not compiled, let alone run
    ((zk: ZooKeeper) => zk.setData('/a', null, -1)) satisfies unknown;
  });
});

/** Connects, and asks for two things at the end of the numbers of requests. */
async function requestsBeyond(manager: ConnectionManager): Promise<string> {
  manager.connect();
  await eventually('connected', () => manager.state === ConnectionManager.STATES.CONNECTED, SOON);
  manager.xid = 0x7fff_ffff;
  let answers = 0;
  const ask = () => {
    const exists = request(jute.OP_CODES.EXISTS, new jute.protocol.ExistsRequest('/', false));
    manager.queue(exists, () => (answers += 1));
  };
  try {
    ask();
    ask();
  } catch {
    return 'throws';
  }
  await eventually('answers', () => answers === 2, SOON);
  return 'answers';
}

/** The types of the requests that pass from now on, but for handshakes and pings. */
function recordRequests(proxy: TcpProxy): number[] {
  const types: number[] = [];
  void proxy.holdFrom((piece) => {
    for (let at = 0; at + 12 <= piece.length; at += 4 + piece.readInt32BE(at)) {
      // A handshake has its protocol's version, 0, where a request has its number.
      const [number, type] = [piece.readInt32BE(at + 4), piece.readInt32BE(at + 8)];
      if (number > 0) types.push(type);
    }
    return false;
  });
  return types;
}

function startProcess(kind: ClientKind, story: string, connectString: string, path: string) {
  const [run, file] = ['../../bin/run.mjs', '../testing/zookeeper/client-process.ts'].map((relative) =>
    fileURLToPath(new URL(relative, import.meta.url)),
  );
  const child = spawn(process.execPath, [run ?? '', file ?? '', kind, story, connectString, path], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const said: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => said.push(line));
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  return {
    said,
    exited,
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    stop: () => child.stdin.end(),
  };
}
