/**
 * The embedded server against a real one: the same random scripts to both, and everything either says compared:
 * results, error codes, stats, zxids, what becomes of sessions, and the events in their order. DIFFERENTIAL_SEEDS,
 * DIFFERENTIAL_STEPS and DIFFERENTIAL_FIRST_SEED ask for others than the default.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../testing/seeded-random.ts';
import type { TestZooKeeper } from '../../testing/zookeeper.ts';
import { startTestZooKeeper, zooKeeperAvailability } from '../../testing/zookeeper.ts';
import { startEmbedded } from '../../testing/zookeeper/embedded.ts';
import type { SessionStep } from '../../testing/zookeeper/random-steps.ts';
import { pick, randomStep } from '../../testing/zookeeper/random-steps.ts';
import { ScriptedClient } from '../../testing/zookeeper/scripted-client.ts';
import { OPEN_ACL } from './acl.ts';
import type { Reply, Stat } from './protocol.ts';

const seeds = Number(process.env.DIFFERENTIAL_SEEDS ?? 20);
const steps = Number(process.env.DIFFERENTIAL_STEPS ?? 500);
const firstSeed = Number(process.env.DIFFERENTIAL_FIRST_SEED ?? 1);
/** Sessions that are to expire have the shortest timeout there is, two of these; the others the longest, twenty. */
const TICK_MS = 200;

const { kind } = await zooKeeperAvailability();

describe.skipIf(kind === 'embedded' || kind === 'none')('embedded and real ZooKeeper answer alike', () => {
  let servers: TestZooKeeper[] = [];

  beforeAll(async () => {
    servers = await Promise.all([startEmbedded(TICK_MS), startTestZooKeeper({ tickTimeMs: TICK_MS })]);
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
    120_000,
  );
});

/** Two clients take random steps beneath `/seed-<seed>`; returns what was seen after each. */
async function runScript(connectString: string, seed: number): Promise<unknown[]> {
  const random = seededRandom(seed);
  const root = `/seed-${seed}`;
  const observer = await ScriptedClient.start(connectString);
  const clients = [await ScriptedClient.start(connectString), await ScriptedClient.start(connectString)];
  const request = { type: 'create', path: root, data: null, acl: OPEN_ACL, flags: 0 } as const;
  const { zxid } = await observer.send(request);
  const take = (actor: ScriptedClient, step: SessionStep) =>
    step === 'expire' ? actor.expire(observer, `${root}-expiring`, 2 * TICK_MS) : actor[step]();

  const transcript: unknown[] = [];
  for (let index = 0; index < steps; index += 1) {
    const actor = pick(random, clients);
    const drawn = randomStep(random, root);
    // Who is away can do no more than come back, or stay away until it is too late.
    const step = actor.away && drawn !== 'expire' ? 'comeBack' : drawn;
    const result =
      typeof step === 'string' ? await take(actor, step) : normalize(await actor.send(step), zxid, clients);
    const events = [await clients[0]?.heard(), await clients[1]?.heard(), await observer.heard()];
    // In which order the ephemerals of a session go is up to the server.
    if (step === 'reopen' || step === 'expire') for (const each of events) each?.sort();
    transcript.push({ index, actor: clients.indexOf(actor), step, result, events });
  }
  for (const client of [...clients, observer]) await client.close();
  return transcript;
}

/** What differs between two servers that behave alike: session ids, clocks, where zxids start, order of sets. */
function normalize(reply: Reply, startZxid: bigint, clients: readonly ScriptedClient[]): unknown {
  const stat = (raw: Stat) => {
    const { ctime, mtime, ephemeralOwner, czxid, mzxid, pzxid, ...counts } = raw;
    const owner = clients.findIndex(({ session }) => session.sessionId === ephemeralOwner);
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
