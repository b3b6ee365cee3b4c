/**
 * The embedded server against a real one: the same random scripts to both, and everything either says compared:
 * results, error codes, stats, zxids, and the events in their order. DIFFERENTIAL_SEEDS, DIFFERENTIAL_STEPS and
 * DIFFERENTIAL_FIRST_SEED ask for more than the default.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Random } from '../../core/random.ts';
import { seededRandom } from '../../testing/seeded-random.ts';
import type { TestZooKeeper } from '../../testing/zookeeper.ts';
import { startTestZooKeeper, zooKeeperAvailability } from '../../testing/zookeeper.ts';
import { startEmbedded } from '../../testing/zookeeper/embedded.ts';
import { RawClient } from '../../testing/zookeeper/raw-client.ts';
import { OPEN_ACL, READ_ACL } from './acl.ts';
import type { Acl, Reply, Request, Stat, WriteOp } from './protocol.ts';

const seeds = Number(process.env.DIFFERENTIAL_SEEDS ?? 5);
const steps = Number(process.env.DIFFERENTIAL_STEPS ?? 150);
const firstSeed = Number(process.env.DIFFERENTIAL_FIRST_SEED ?? 1);

const { kind } = await zooKeeperAvailability();

describe.skipIf(kind === 'embedded' || kind === 'none')('embedded and real ZooKeeper answer alike', () => {
  let servers: TestZooKeeper[] = [];

  beforeAll(async () => {
    servers = await Promise.all([startEmbedded(500), startTestZooKeeper()]);
  });
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.stop()));
  });

  it.each(Array.from({ length: seeds }, (_, index) => firstSeed + index))(
    `%i: ${steps} random steps of two clients`,
    async (seed) => {
      const [embedded, real] = await Promise.all(
        servers.map(({ connectString }) => runScript(connectString, seed)),
      );
      expect(embedded).toEqual(real);
    },
    60_000,
  );
});

/** Two clients take random steps beneath `/seed-<seed>`; returns what was seen after each. */
async function runScript(connectString: string, seed: number): Promise<unknown[]> {
  const random = seededRandom(seed);
  const root = `/seed-${seed}`;
  const clients = [await ScriptedClient.start(connectString), await ScriptedClient.start(connectString)];
  const [observer = await ScriptedClient.start(connectString)] = clients;
  const start = await observer.client.request({
    type: 'create',
    path: root,
    data: null,
    acl: OPEN_ACL,
    flags: 0,
  });
  const seen = (reply: Reply) => normalize(reply, start.zxid, clients);
  const transcript: unknown[] = [];
  for (let step = 0; step < steps; step += 1) {
    const actor = pick(random, clients);
    const action = randomAction(random, root);
    const result =
      action === 'reconnect' || action === 'reopen' ? await actor[action]() : seen(await actor.send(action));
    // A round trip of each client: what the step has caused has been sent before its reply.
    for (const { client } of clients) await client.request({ type: 'sync', path: '/' });
    const events = clients.map(({ client }) =>
      client.events.splice(0).map(({ type, path }) => `${type} ${path}`),
    );
    // In which order a closed session's ephemerals go is up to the server.
    if (action === 'reopen') for (const each of events) each.sort();
    transcript.push({ step, actor: clients.indexOf(actor), action, result, events });
  }
  for (const { client } of clients) await client.request({ type: 'closeSession' });
  return transcript;
}

/** A client that comes back, to its session with its watches or to a new one. */
class ScriptedClient {
  client: RawClient;
  private readonly connectString: string;
  private readonly watched = { data: new Set<string>(), exist: new Set<string>(), child: new Set<string>() };
  private lastZxid = 0n;

  private constructor(connectString: string, client: RawClient) {
    this.connectString = connectString;
    this.client = client;
  }

  static async start(connectString: string): Promise<ScriptedClient> {
    return new ScriptedClient(connectString, await RawClient.connect(connectString));
  }

  async send(request: Request): Promise<Reply> {
    const reply = await this.client.request(request);
    if (reply.zxid > this.lastZxid) this.lastZxid = reply.zxid;
    if ('watch' in request && request.watch) {
      const found = reply.err === 0;
      if (request.type === 'exists') (found ? this.watched.data : this.watched.exist).add(request.path);
      else if (found) this.watched[request.type === 'getData' ? 'data' : 'child'].add(request.path);
    }
    return reply;
  }

  /** The same session on a new connection, with every watch it ever set: those used up tell what was missed. */
  async reconnect(): Promise<unknown> {
    const { sessionId, passwd } = this.client.session;
    await this.client.cut();
    this.client = await RawClient.connect(this.connectString, {
      sessionId,
      passwd,
      lastZxidSeen: this.lastZxid,
    });
    const paths = Object.values(this.watched).map((set) => [...set]);
    for (const set of Object.values(this.watched)) set.clear();
    const [dataWatches = [], existWatches = [], childWatches = []] = paths;
    const watches = { dataWatches, existWatches, childWatches };
    const { err } = await this.send({ type: 'setWatches', relativeZxid: this.lastZxid, ...watches });
    return { timeOut: this.client.session.timeOut, same: this.client.session.sessionId === sessionId, err };
  }

  /** A new session; the old one is closed, and its ephemerals go. */
  async reopen(): Promise<unknown> {
    const { err } = await this.send({ type: 'closeSession' });
    await this.client.closed();
    for (const set of Object.values(this.watched)) set.clear();
    this.client = await RawClient.connect(this.connectString);
    return { err };
  }
}

const DIGEST_OF_U_P = 'u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=';
const ACLS: readonly (readonly Acl[])[] = [
  ...Array.from({ length: 12 }, () => OPEN_ACL),
  READ_ACL,
  [{ perms: 31, id: { scheme: 'auth', id: '' } }],
  [{ perms: 31, id: { scheme: 'digest', id: DIGEST_OF_U_P } }, ...READ_ACL],
  [{ perms: 5, id: { scheme: 'digest', id: DIGEST_OF_U_P } }],
  [{ perms: 31, id: { scheme: 'digest', id: 'no-colon' } }],
  [{ perms: 31, id: { scheme: 'unheard-of', id: 'x' } }],
  [...OPEN_ACL, ...OPEN_ACL],
  [],
];

function randomAction(random: Random, root: string): Request | 'reconnect' | 'reopen' {
  const path = randomPath(random, root);
  const watch = random.next() < 0.7;
  const draw = Math.floor(random.next() * 100);
  if (draw < 45) return randomWrite(random, root);
  if (draw < 52) return { type: 'exists', path, watch };
  if (draw < 60) return { type: 'getData', path, watch };
  if (draw < 66) return { type: 'getChildren2', path, watch };
  if (draw < 69) return { type: 'getChildren', path, watch };
  if (draw < 72) return { type: 'getACL', path };
  if (draw < 76) return { type: 'setACL', path, acl: pick(random, ACLS), version: randomVersion(random) };
  if (draw < 78) {
    return {
      type: 'auth',
      authType: 0,
      scheme: 'digest',
      auth: Buffer.from(pick(random, ['u:p', 'v:q', 'w'])),
    };
  }
  if (draw < 79) return { type: 'ping' };
  if (draw < 82) return 'reconnect';
  if (draw < 84) return 'reopen';
  const ops = Array.from({ length: Math.floor(random.next() * 5) }, () =>
    random.next() < 0.2
      ? ({ type: 'check', path: randomPath(random, root), version: randomVersion(random) } as const)
      : randomWrite(random, root),
  );
  return { type: 'multi', ops };
}

function randomWrite(random: Random, root: string): WriteOp {
  const path = randomPath(random, root);
  const data = random.next() < 0.1 ? null : Buffer.from('x'.repeat(Math.floor(random.next() * 9)));
  const version = randomVersion(random);
  const draw = random.next();
  if (draw < 0.3) return { type: 'delete', path, version };
  if (draw < 0.5) return { type: 'setData', path, data, version };
  return { type: 'create', path, data, acl: pick(random, ACLS), flags: Math.floor(random.next() * 4) };
}

/** Few enough that clients and steps meet; sometimes one that is no path, or a system's. */
function randomPath(random: Random, root: string): string {
  if (random.next() < 0.03) {
    return pick(random, [
      '',
      'a',
      '/',
      'a/b',
      `${root}//a`,
      `${root}/`,
      `${root}/a/`,
      `${root}/../a`,
      `${root}/\u0001`,
    ]);
  }
  if (random.next() < 0.01) return pick(random, ['/zookeeper', '/zookeeper/quota', '/zookeeper/config']);
  const depth = 1 + Math.floor(random.next() * 3);
  return root + Array.from({ length: depth }, () => `/${pick(random, ['a', 'b', 'c', 'd'])}`).join('');
}

function randomVersion(random: Random): number {
  return random.next() < 0.3 ? Math.floor(random.next() * 3) : -1;
}

function pick<T>(random: Random, items: readonly T[]): T {
  const item = items[Math.floor(random.next() * items.length)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
}

/** What differs between two servers that behave alike: session ids, clocks, where zxids start, order of sets. */
function normalize(reply: Reply, startZxid: bigint, clients: readonly ScriptedClient[]): unknown {
  const stat = (raw: Stat) => {
    const { ctime, mtime, ephemeralOwner, czxid, mzxid, pzxid, ...counts } = raw;
    const owner = clients.findIndex(({ client }) => client.session.sessionId === ephemeralOwner);
    const relative = [czxid, mzxid, pzxid].map((zxid) => zxid - startZxid);
    return { ...counts, relative, modified: mtime >= ctime, owner: ephemeralOwner === 0n ? 'none' : owner };
  };
  const { body, err } = reply;
  const zxid = reply.zxid === 0n ? 'none' : reply.zxid - startZxid;
  return {
    err,
    zxid,
    ...body,
    ...('stat' in body && { stat: stat(body.stat) }),
    ...('children' in body && { children: [...body.children].sort() }),
    ...('acl' in body && { acl: body.acl.map(({ perms, id }) => `${perms} ${id.scheme} ${id.id}`).sort() }),
    ...('results' in body && {
      results: body.results.map((each) => ('stat' in each ? { ...each, stat: stat(each.stat) } : each)),
    }),
  };
}
