/**
 * Three real ZooKeepers: their leader killed, their quorum lost and regained, one client cut off from its server. Two
 * candidates stand for election through connections of ours, each with an ephemeral of its own.
 */
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootstrapTree } from '../../libs/cluster/bootstrap.ts';
import { connectZooKeeper } from '../../libs/cluster/connection.ts';
import { runElection } from '../../libs/cluster/election.ts';
import { retryOnLoss, whenConnected } from '../../libs/cluster/operations.ts';
import { clusterPaths } from '../../libs/cluster/paths.ts';
import type { ConnectionState, ZooKeeper } from '../../libs/cluster/zookeeper.ts';
import { systemClock, systemRandom } from '../../libs/runtime/system.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import { hasDebianZooKeeper } from '../../libs/testing/real-servers.ts';
import { startTcpProxy } from '../../libs/testing/tcp-proxy.ts';
import type { TcpProxy } from '../../libs/testing/tcp-proxy.ts';
import { startDebianEnsemble } from '../../libs/testing/zookeeper/debian.ts';
import type { Ensemble } from '../../libs/testing/zookeeper/debian.ts';

const TICK_MS = 500;
/** The longest there is at this tick: a server's restart must fit in. */
const SESSION_TIMEOUT_MS = 20 * TICK_MS;
const SOON = { withinMs: 30_000 };
const paths = clusterPaths('ensemble');
const logger = pino({ level: 'silent' });
const system = { clock: systemClock, random: systemRandom, logger };

/** A candidate behind networks of its own, one to each server. */
class Candidate {
  readonly name: string;
  readonly proxies: readonly TcpProxy[];
  readonly zk: ZooKeeper;
  /** Of its connection, since {@link forget}. */
  states: ConnectionState[] = [];
  /** Whether it still thought itself leader when its connection was SUSPENDED or LOST. */
  ledDisconnected = false;
  #valid: (() => boolean) | undefined;
  #stop: () => Promise<void> = () => Promise.resolve();

  private constructor(name: string, proxies: readonly TcpProxy[]) {
    this.name = name;
    this.proxies = proxies;
    const connectString = proxies.map((proxy) => proxy.connectString).join(',');
    this.zk = connectZooKeeper({ connectString, sessionTimeoutMs: SESSION_TIMEOUT_MS, ...system });
    this.zk.onState((state) => {
      this.states.push(state);
      if (state.kind !== 'CONNECTED' && this.leads()) this.ledDisconnected = true;
    });
  }

  static async start(name: string, ensemble: Ensemble): Promise<Candidate> {
    const { members } = ensemble;
    const proxies = await Promise.all(members.map(({ connectString }) => startTcpProxy(connectString)));
    const candidate = new Candidate(name, proxies);
    await whenConnected(candidate.zk, { clock: systemClock, timeoutMs: 20_000 });
    return candidate;
  }

  async stand(): Promise<void> {
    const { zk, name } = this;
    await zk.create(`${paths.live}/${name}`, Buffer.alloc(0), 'EPHEMERAL');
    const onLead = async ({ valid, lost }: { valid: () => boolean; lost: AbortSignal }) => {
      this.#valid = valid;
      if (!lost.aborted) await new Promise((resolve) => lost.addEventListener('abort', resolve));
    };
    const election = runElection({ zk, paths, id: name, guid: name, host: 'test', ...system, onLead });
    this.#stop = () => election.stop();
  }

  leads(): boolean {
    return this.#valid?.() === true;
  }

  get sessionId(): bigint | undefined {
    return this.zk.state.kind === 'CONNECTED' ? this.zk.state.sessionId : undefined;
  }

  /** The server it is connected to, by the network in use. */
  async server(): Promise<number> {
    const before = this.proxies.map(({ heldToClient }) => heldToClient);
    for (const proxy of this.proxies) proxy.blackHole('TO_CLIENT');
    void this.zk.exists('/').catch(() => undefined);
    const index = await eventually(
      'its server answers',
      () => {
        const found = this.proxies.findIndex(({ heldToClient }, each) => heldToClient > (before[each] ?? 0));
        return found >= 0 ? { found } : undefined;
      },
      SOON,
    );
    for (const proxy of this.proxies) proxy.forward();
    return index.found;
  }

  async close(): Promise<void> {
    await this.#stop();
    await this.zk.close();
    for (const proxy of this.proxies) await proxy.close();
  }
}

describe.skipIf(!(await hasDebianZooKeeper()))('an ensemble of three', () => {
  let ensemble: Ensemble;
  let candidates: Candidate[] = [];
  let mostLeaders = 0;
  let sampling: NodeJS.Timeout;

  beforeAll(async () => {
    ensemble = await startDebianEnsemble(TICK_MS);
    candidates = [await Candidate.start('a', ensemble), await Candidate.start('b', ensemble)];
    const [first] = candidates;
    if (first !== undefined) await bootstrapTree(first.zk, paths, { uid: 'ensemble', partitions: 8 });
    for (const candidate of candidates) {
      // What one server has acknowledged another may not show yet.
      await candidate.zk.sync(paths.root);
      await candidate.stand();
    }
    sampling = setInterval(() => {
      mostLeaders = Math.max(mostLeaders, candidates.filter((candidate) => candidate.leads()).length);
    }, 2);
    await someoneLeads();
  });
  afterAll(async () => {
    clearInterval(sampling);
    for (const candidate of candidates) await candidate.close();
    await ensemble.stop();
  });

  const someoneLeads = () =>
    eventually('someone leads', () => candidates.find((candidate) => candidate.leads()), SOON);

  /** Runs `fault`; sees that each session and its ephemeral outlive it, and that there was never more than a leader. */
  async function survived(fault: () => Promise<void>): Promise<void> {
    const sessions = candidates.map(({ sessionId }) => sessionId);
    for (const candidate of candidates) candidate.states = [];
    await fault();
    await eventually(
      'all are connected',
      () => candidates.every(({ sessionId }) => sessionId !== undefined),
      SOON,
    );
    await someoneLeads();
    expect(candidates.map(({ sessionId }) => sessionId)).toEqual(sessions);
    for (const { zk, name, sessionId } of candidates) {
      const stat = await retryOnLoss({ zk, ...system }, async () => {
        await zk.sync(paths.live);
        return zk.exists(`${paths.live}/${name}`);
      });
      expect(stat?.ephemeralOwner).toBe(sessionId);
    }
    expect(mostLeaders).toBe(1);
    expect(candidates.some(({ ledDisconnected }) => ledDisconnected)).toBe(false);
  }

  const suspended = (candidate: Candidate) => candidate.states.some(({ kind }) => kind === 'SUSPENDED');

  async function leaderOfEnsemble(): Promise<number> {
    return eventually(
      'the ensemble has a leader',
      async () => {
        const modes = await Promise.all(ensemble.members.map(({ mode }) => mode()));
        return modes.includes('leader') && { index: modes.indexOf('leader') };
      },
      SOON,
    ).then(({ index }) => index);
  }

  it('its leader is killed: sessions go on under another', async () => {
    const index = await leaderOfEnsemble();
    await survived(async () => {
      await ensemble.members[index]?.down();
      await eventually('someone noticed', () => candidates.some(suspended), SOON);
      await leaderOfEnsemble();
    });
    await ensemble.members[index]?.up();
  });

  it('its quorum is lost: nobody leads until it is back, in the sessions of before', async () => {
    const index = await leaderOfEnsemble();
    const [one, two] = [ensemble.members[index], ensemble.members[(index + 1) % 3]];
    await survived(async () => {
      await Promise.all([one?.down(), two?.down()]);
      await eventually('both are suspended', () => candidates.every(suspended), SOON);
      expect(candidates.filter((candidate) => candidate.leads())).toEqual([]);
      await one?.up();
    });
    await two?.up();
  });

  it('a leader is cut off from its server while others are not: it leads no more, and finds another server', async () => {
    const leader = await someoneLeads();
    const server = await leader.server();
    const other = candidates.find((candidate) => candidate !== leader);
    await someoneLeads();
    await survived(async () => {
      leader.proxies[server]?.blackHole();
      await eventually('it has noticed', () => suspended(leader), SOON);
      expect(leader.leads()).toBe(false);
    });
    expect(other?.states.filter(({ kind }) => kind !== 'CONNECTED')).toEqual([]);
    expect(await leader.server()).not.toBe(server);
    leader.proxies[server]?.forward();
  });
});
