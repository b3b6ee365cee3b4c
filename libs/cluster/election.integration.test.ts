import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock, systemRandom } from '../runtime/system.ts';
import { eventually } from '../testing/eventually.ts';
import type { TcpProxy } from '../testing/tcp-proxy.ts';
import { useZooKeeper } from '../testing/zookeeper-fixture.ts';
import { bootstrapTree } from './bootstrap.ts';
import { runElection } from './election.ts';
import type { Election, Leadership } from './election.ts';
import { clusterPaths } from './paths.ts';
import type { Paths } from './paths.ts';
import { leaderCodec } from './records.ts';
import type { ZooKeeper } from './zookeeper.ts';

const TICK_MS = 100;
const SESSION_TIMEOUT_MS = 1_000;
/** That a server grants. */
const LONGEST_SESSION_MS = 20 * TICK_MS;
const SOON = { withinMs: 5_000, everyMs: 5 };
/** The promised failover: session timeout, a tick of the server's, a second. */
const FAILOVER_MS = SESSION_TIMEOUT_MS + TICK_MS + 1_000;

interface Controller {
  readonly id: string;
  readonly zk: ZooKeeper;
  readonly proxy: TcpProxy;
  readonly election: Election;
  /** Every leadership it was given, the latest last. */
  readonly terms: Leadership[];
  leads(): boolean;
  /** Lets the present `onLead` return, as a controller does whose write was refused. */
  giveUp(): void;
}

describe('the election', () => {
  const zookeeper = useZooKeeper({ tickTimeMs: TICK_MS, sessionTimeoutMs: SESSION_TIMEOUT_MS });
  let paths: Paths;
  let other: ZooKeeper;
  let elections: Election[];

  beforeEach(async () => {
    paths = clusterPaths(`cluster-${systemRandom.uuid()}`);
    other = await zookeeper.connect();
    await bootstrapTree(other, paths, { uid: 'uid', partitions: 4 });
    elections = [];
  });
  // Registered after the fixture's, so it runs before: their connections are still open.
  afterEach(async () => {
    await Promise.all(elections.map((election) => election.stop()));
  });

  async function controller(
    id: string,
    overrides: Parameters<typeof zookeeper.connect>[0] = {},
    beforeMulti?: (proxy: TcpProxy) => void,
  ): Promise<Controller> {
    const proxy = await zookeeper.proxy();
    const zk = await zookeeper.connect({ via: proxy, ...overrides });
    const terms: Leadership[] = [];
    let giveUp = () => {};
    const election = runElection({
      zk: beforeMulti ? interceptMulti(zk, () => beforeMulti(proxy)) : zk,
      paths,
      id,
      guid: id,
      host: 'test',
      clock: systemClock,
      random: systemRandom,
      logger: pino({ level: 'silent' }),
      onLead: (leadership) => {
        terms.push(leadership);
        return new Promise((resolve) => {
          giveUp = resolve;
          leadership.lost.addEventListener('abort', () => resolve(), { once: true });
        });
      },
    });
    elections.push(election);
    return {
      id,
      zk,
      proxy,
      election,
      terms,
      leads: () => terms.at(-1)?.valid() === true,
      giveUp: () => giveUp(),
    };
  }

  /** A leading controller and one that stands by. */
  async function pair(): Promise<[leader: Controller, standby: Controller]> {
    const leader = await controller('leader');
    await eventually('one leads', () => leader.leads(), SOON);
    const standby = await controller('standby');
    await eventually('two in line', async () => (await candidates()).length === 2, SOON);
    return [leader, standby];
  }

  const candidates = async () => (await other.getChildren(paths.election)).children;
  const leaderOnRecord = async () =>
    leaderCodec.decode((await other.getData(paths.leader)).data, paths.leader).id;

  it('makes one of several the leader, under the version of the term', async () => {
    const controllers = await Promise.all(['a', 'b', 'c'].map((id) => controller(id)));
    const leader = await eventually('one leads', () => controllers.find((each) => each.leads()), SOON);
    await eventually('all in line', async () => (await candidates()).length === 3, SOON);
    expect(controllers.filter((each) => each.terms.length > 0)).toEqual([leader]);
    expect(await leaderOnRecord()).toBe(leader.id);
    expect(leader.terms[0]?.term).toBe((await other.exists(paths.term))?.version);
  });

  it('passes on at once when the leader resigns, and leaves nothing of it behind', async () => {
    const [leader, standby] = await pair();
    const beganMs = performance.now();
    const stopped = leader.election.stop();
    expect(leader.leads()).toBe(false);
    await eventually('the standby leads', () => standby.leads(), SOON);
    expect(performance.now() - beganMs).toBeLessThan(500);
    await stopped;
    expect(await candidates()).toHaveLength(1);
    expect(leader.zk.state.kind).toBe('CONNECTED');
  });

  it('passes on within T + tick + 1 s when the leader is cut off, which has stopped by then', async () => {
    const [leader, standby] = await pair();
    const beganMs = performance.now();
    leader.proxy.blackHole();
    const before = await eventually(
      'the standby leads',
      () => standby.leads() && { leads: leader.leads() },
      SOON,
    );
    expect(performance.now() - beganMs).toBeLessThan(FAILOVER_MS);
    expect(before.leads).toBe(false);
    await eventually('told', () => leader.terms[0]?.lost.aborted, SOON);

    leader.proxy.forward();
    await eventually('back in line', async () => (await candidates()).length === 2, SOON);
    expect(standby.terms).toHaveLength(1);
    expect(leader.terms).toHaveLength(1);
  });

  it('refuses the writes of a leader that does not know yet that it was one', async () => {
    const [leader, standby] = await pair();
    const write = (zk: ZooKeeper, term: number) =>
      zk.multi([
        { op: 'check', path: paths.term, version: term },
        { op: 'setData', path: paths.plan, data: Buffer.from(`of term ${term}`), version: -1 },
      ]);
    const [old] = leader.terms;
    await write(leader.zk, old?.term ?? -1);
    leader.proxy.blackHole();
    await eventually('the standby leads', () => standby.leads(), SOON);
    leader.proxy.forward();
    await eventually('the old leader is connected', () => leader.zk.state.kind === 'CONNECTED', SOON);
    await expect(write(leader.zk, old?.term ?? -1)).rejects.toMatchObject({
      code: 'BAD_VERSION',
      opIndex: 0,
    });
    await write(standby.zk, standby.terms[0]?.term ?? -1);
  });

  it('is not led by a process that was paused, from the moment it runs again', async () => {
    let pausedMs = 0;
    const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + pausedMs };
    const leader = await controller('leader', { clock });
    await eventually('one leads', () => leader.leads(), SOON);
    const standby = await controller('standby');
    await eventually('two in line', async () => (await candidates()).length === 2, SOON);
    leader.proxy.blackHole();
    pausedMs = SESSION_TIMEOUT_MS;
    expect(leader.leads()).toBe(false);
    await eventually('the standby leads', () => standby.leads(), SOON);
  });

  it('ends a leadership with its connection, and begins another under a new term', async () => {
    const leader = await controller('leader');
    await eventually('leads', () => leader.leads(), SOON);
    leader.proxy.cut();
    await eventually('lost', () => leader.terms[0]?.lost.aborted, SOON);
    await eventually('leads again', () => leader.terms.length === 2 && leader.leads(), SOON);
    expect(leader.terms[1]?.term).toBeGreaterThan(leader.terms[0]?.term ?? Infinity);
    expect(leader.terms[0]?.valid()).toBe(false);
    expect(await candidates()).toHaveLength(1);
  });

  it('replaces what its own lost session has left, without waiting for it to expire', async () => {
    const leader = await controller('leader', { sessionTimeoutMs: LONGEST_SESSION_MS });
    await eventually('leads', () => leader.leads(), SOON);
    const first = await other.exists(paths.leader);
    // A server that is only starting may take a connection and not answer for longer than it keeps the session.
    leader.proxy.refuse();
    // The server keeps its sessions while it is down, and gives them their whole time again.
    await zookeeper.server.down();
    await eventually(
      'lost',
      () => leader.zk.state.kind !== 'CONNECTED' && leader.zk.state.kind !== 'SUSPENDED',
      SOON,
    );
    const kept = new Promise<boolean>((resolve) => {
      const unsubscribe = leader.zk.onState(({ kind }) => {
        if (kind !== 'CONNECTED') return;
        unsubscribe();
        resolve(
          leader.zk.exists(paths.leader).then((stat) => stat?.ephemeralOwner === first?.ephemeralOwner),
        );
      });
    });
    await zookeeper.server.up();
    leader.proxy.forward();
    expect(await kept).toBe(true);
    await eventually('leads again', () => leader.leads(), SOON);
    expect((await leader.zk.exists(paths.leader))?.ephemeralOwner).not.toBe(first?.ephemeralOwner);
    expect((await leader.zk.getChildren(paths.election)).children).toHaveLength(1);
  });

  it('has one leader, in good order, where the answer to the election’s multi is lost', async () => {
    let multis = 0;
    const loser = await controller('loser', {}, (proxy) => {
      multis += 1;
      if (multis === 1) proxy.blackHole('TO_CLIENT');
    });
    await eventually('carried out', async () => (await other.exists(paths.term))?.version === 1, SOON);
    loser.proxy.cut();
    loser.proxy.forward();
    await eventually('leads', () => loser.leads(), SOON);

    expect(loser.terms.map(({ term }) => term)).toEqual([2]);
    expect((await other.exists(paths.term))?.version).toBe(2);
    const { state } = loser.zk;
    expect(state.kind === 'CONNECTED' && state.sessionId).toBe(
      (await other.exists(paths.leader))?.ephemeralOwner,
    );
    expect(await candidates()).toHaveLength(1);
  });

  it('waits for someone else’s leader znode to go', async () => {
    await other.create(
      paths.leader,
      leaderCodec.encode({ id: 'stranger', host: 'x', sinceMs: 0 }),
      'EPHEMERAL',
    );
    const waiting = await controller('waiting');
    await eventually('in line', async () => (await candidates()).length === 1, SOON);
    expect(waiting.terms).toHaveLength(0);
    await other.delete(paths.leader, -1);
    await eventually('leads', () => waiting.leads(), SOON);
  });

  it('knows its place in line from an earlier candidacy whose withdrawal was lost', async () => {
    const zk = await zookeeper.connect();
    const guid = systemRandom.uuid();
    const epoch = zk.state.kind === 'CONNECTED' ? zk.state.epoch : 0;
    await zk.create(`${paths.election}/c-${guid}-${epoch}-`, Buffer.from('again'), 'EPHEMERAL_SEQUENTIAL');
    let leads = false;
    elections.push(
      runElection({
        ...{ zk, paths, guid, id: 'again', host: 'test', clock: systemClock, random: systemRandom },
        logger: pino({ level: 'silent' }),
        onLead: ({ lost }) => {
          leads = true;
          return new Promise((resolve) => lost.addEventListener('abort', () => resolve(), { once: true }));
        },
      }),
    );
    await eventually('it leads', () => leads, SOON);
    expect(await candidates()).toHaveLength(1);
  });

  it('removes a leader znode of its own that keeps the first in line waiting', async () => {
    const zk = await zookeeper.connect();
    await zk.create(
      paths.leader,
      leaderCodec.encode({ id: 'second', host: 'test', sinceMs: 0 }),
      'EPHEMERAL',
    );
    const first = await controller('first');
    await eventually('it stands in line', async () => (await candidates()).length === 1, SOON);
    expect(first.terms).toEqual([]);
    elections.push(
      runElection({
        ...{
          zk,
          paths,
          id: 'second',
          guid: 'second',
          host: 'test',
          clock: systemClock,
          random: systemRandom,
        },
        logger: pino({ level: 'silent' }),
        onLead: () => Promise.resolve(),
      }),
    );
    await eventually('the first leads', () => first.leads(), SOON);
  });

  it('passes on when the leader gives up by itself, and lets it stand again', async () => {
    const [leader, standby] = await pair();
    leader.giveUp();
    await eventually('the standby leads', () => standby.leads(), SOON);
    await eventually('in line again', async () => (await candidates()).length === 2, SOON);
    standby.giveUp();
    await eventually('leads again', () => leader.leads(), SOON);
    expect(leader.terms).toHaveLength(2);
  });

  it('ends a leadership whose znode an administrator has deleted', async () => {
    const leader = await controller('leader');
    await eventually('leads', () => leader.leads(), SOON);
    await other.delete(paths.leader, -1);
    await eventually('lost', () => leader.terms[0]?.lost.aborted, SOON);
    await eventually('leads again', () => leader.terms.length === 2, SOON);
  });

  it('ends, leading nobody, where it is stopped in the moment it is won', async () => {
    let stopped: Promise<void> | undefined;
    const winner = await controller('winner', {}, () => {
      stopped ??= elections[0]?.stop();
    });
    await eventually('won', () => stopped !== undefined, SOON);
    await stopped;
    expect(winner.terms).toHaveLength(0);
    expect(await candidates()).toHaveLength(0);
    expect(await other.exists(paths.leader)).toBeNull();
  });

  it('waits for a cluster that is not initialised yet', async () => {
    paths = clusterPaths(`cluster-${systemRandom.uuid()}`);
    const early = await controller('early');
    await eventually('no such cluster', async () => (await early.zk.exists(paths.root)) === null, SOON);
    await bootstrapTree(other, paths, { uid: 'uid', partitions: 4 });
    await eventually('leads', () => early.leads(), { withinMs: 15_000 });
  });
});

/** `zk`, but with something happening just before each multi is sent. */
function interceptMulti(zk: ZooKeeper, before: () => void): ZooKeeper {
  return new Proxy(zk, {
    get(target, key) {
      const member: unknown = Reflect.get(target, key, target);
      if (typeof member !== 'function') return member;
      return (...args: unknown[]): unknown => {
        if (key === 'multi') before();
        return Reflect.apply(member, target, args);
      };
    },
  });
}
