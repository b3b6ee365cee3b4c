import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { Clock } from '../core/clock.ts';
import { systemClock, systemRandom } from '../runtime/system.ts';
import { eventually } from '../testing/eventually.ts';
import { startTcpProxy } from '../testing/tcp-proxy.ts';
import { recordStates, useZooKeeper } from '../testing/zookeeper-fixture.ts';
import { connectZooKeeper } from './connection.ts';
import { createEphemeral, sessionHistory } from './operations.ts';
import type { ConnectionState, WatchedEvent, ZooKeeper } from './zookeeper.ts';

const TICK_MS = 100;
const SESSION_TIMEOUT_MS = 1_000;
const EMPTY = Buffer.alloc(0);
const SOON = { withinMs: 5_000 };

describe('the connection to ZooKeeper', () => {
  const zookeeper = useZooKeeper({ tickTimeMs: TICK_MS, sessionTimeoutMs: SESSION_TIMEOUT_MS });

  it('comes back in the same session: the ephemeral is there, and the watch has missed nothing', async () => {
    const [proxy, directory, other] = [
      await zookeeper.proxy(),
      await zookeeper.directory(),
      await zookeeper.connect(),
    ];
    const zk = await zookeeper.connect({ via: proxy });
    const states = recordStates(zk);
    await zk.create(`${directory}/mine`, EMPTY, 'EPHEMERAL');
    const events: WatchedEvent[] = [];
    await zk.getData(directory, (event) => events.push(event));

    proxy.refuse();
    proxy.cut();
    await eventually('suspended', () => zk.state.kind === 'SUSPENDED', SOON);
    await other.setData(directory, Buffer.from('changed meanwhile'), -1);
    proxy.forward();
    await eventually('connected', () => zk.state.kind === 'CONNECTED', SOON);

    await eventually('the event', () => events.length > 0, SOON);
    expect(events).toEqual([{ type: 'NODE_DATA_CHANGED', path: directory }]);
    expect(await other.exists(`${directory}/mine`)).not.toBeNull();
    expect(kinds(states)).toEqual(['CONNECTED', 'SUSPENDED', 'CONNECTED']);
    expect(states.at(-1)).toEqual(states[0]);
  });

  it('loses a session that the server has expired, and begins another under a higher epoch', async (test) => {
    const { faults } = zookeeper.server;
    if (faults === undefined) return test.skip('only the embedded server expires a session on demand');
    const zk = await zookeeper.connect();
    const states = recordStates(zk);
    const first = connected(zk);
    faults.expireSession(first.sessionId);
    await eventually(
      'a new session',
      () => zk.state.kind === 'CONNECTED' && zk.state.epoch > first.epoch,
      SOON,
    );
    expect(connected(zk).sessionId).not.toBe(first.sessionId);
    expect(kinds(states)).toEqual(['CONNECTED', 'SUSPENDED', 'LOST', 'CONNECTING', 'CONNECTED']);
  });

  it('takes a new session from a server that was wiped, though it has seen later transactions', async (test) => {
    const { faults } = zookeeper.server;
    if (faults === undefined) return test.skip('only the embedded server is wiped on demand');
    const zk = await zookeeper.connect();
    await zk.create('/seen', EMPTY, 'PERSISTENT');
    const states = recordStates(zk);
    const first = connected(zk);
    faults.wipe();
    await eventually(
      'a new session',
      () => zk.state.kind === 'CONNECTED' && zk.state.epoch > first.epoch,
      SOON,
    );
    expect(await zk.exists('/seen')).toBeNull();
    expect(kinds(states)).toEqual(['CONNECTED', 'SUSPENDED', 'LOST', 'CONNECTING', 'CONNECTED']);
  });

  it('loses its session by its own clock in an outage; what the old session left is its own to replace', async () => {
    const zk = await zookeeper.connect({ sessionTimeoutMs: 2_000 });
    const directory = await zookeeper.directory();
    const previous = sessionHistory(zk);
    const first = connected(zk);
    await zk.create(`${directory}/mine`, EMPTY, 'EPHEMERAL');
    const states = recordStates(zk);

    await zookeeper.server.down();
    await eventually('lost', () => states.some(({ kind }) => kind === 'LOST'), SOON);
    await zookeeper.server.up();
    await eventually('a new session', () => zk.state.kind === 'CONNECTED', SOON);

    // A server gives the sessions it had their whole time again.
    expect((await zk.exists(`${directory}/mine`))?.ephemeralOwner).toBe(first.sessionId);
    const retry = { zk, clock: systemClock, random: systemRandom, previous };
    await createEphemeral(retry, `${directory}/mine`, EMPTY);
    expect((await zk.exists(`${directory}/mine`))?.ephemeralOwner).toBe(connected(zk).sessionId);
    expect(kinds(states).slice(0, 4)).toEqual(['CONNECTED', 'SUSPENDED', 'LOST', 'CONNECTING']);
    previous.close();
  });

  it.each(['monotonicMs', 'wallMs'] as const)(
    'knows after a pause, by %s, that its session may be over: no lease at once, then a new session',
    async (face) => {
      let pausedMs = 0;
      const clock: Clock = {
        ...systemClock,
        [face]: () => systemClock[face]() + pausedMs,
      };
      const zk = await zookeeper.connect({ clock });
      const states = recordStates(zk);
      expect(zk.leaseValid()).toBe(true);
      pausedMs = SESSION_TIMEOUT_MS + 1;
      expect(zk.leaseValid()).toBe(false);
      await eventually('a new session', () => states.length >= 4, SOON);
      expect(kinds(states)).toEqual(['CONNECTED', 'LOST', 'CONNECTING', 'CONNECTED']);
      expect(zk.leaseValid()).toBe(true);
    },
  );

  it('gives up the lease before the server gives up the session', async () => {
    const [proxy, directory, other] = [
      await zookeeper.proxy(),
      await zookeeper.directory(),
      await zookeeper.connect(),
    ];
    const zk = await zookeeper.connect({ via: proxy });
    await zk.create(`${directory}/mine`, EMPTY, 'EPHEMERAL');
    let leaseAtExpiry: boolean | undefined;
    await other.exists(`${directory}/mine`, () => (leaseAtExpiry = zk.leaseValid()));
    expect(zk.leaseValid()).toBe(true);
    // Requests still arrive, so only the missing answers tell.
    proxy.blackHole('TO_CLIENT');
    await eventually('no lease', () => !zk.leaseValid(), SOON);
    proxy.blackHole();
    await eventually('expired', () => leaseAtExpiry !== undefined, SOON);
    expect(leaseAtExpiry).toBe(false);
  });

  it('tells its listeners every state in order, also one that a listener brings about', async () => {
    const zk = await zookeeper.connect();
    const heard: string[] = [];
    zk.onState(({ kind }) => {
      if (kind === 'SUSPENDED' || kind === 'LOST') void zk.close();
    });
    zk.onState(({ kind }) => heard.push(kind));
    await zookeeper.server.restart();
    await eventually('closed', () => heard.includes('CLOSED'), SOON);
    expect(heard).toEqual(['SUSPENDED', 'CLOSED']);
  });

  it('refuses operations at once where there is no connection', async () => {
    const proxy = await zookeeper.proxy();
    const zk = await zookeeper.connect({ via: proxy });
    proxy.refuse();
    proxy.cut();
    await eventually('suspended', () => zk.state.kind === 'SUSPENDED', SOON);
    await expect(zk.getData('/zookeeper')).rejects.toMatchObject({
      code: 'CONNECTION_LOSS',
      operation: 'getData',
      path: '/zookeeper',
    });
    await zk.close();
    await expect(zk.getData('/zookeeper')).rejects.toMatchObject({ code: 'SESSION_EXPIRED' });
  });

  it('ends what was under way when the connection goes', async () => {
    const proxy = await zookeeper.proxy();
    const zk = await zookeeper.connect({ via: proxy });
    proxy.blackHole();
    const reads = Promise.allSettled([zk.getData('/'), zk.getChildren('/')]);
    proxy.cut();
    expect(await reads).toMatchObject([
      { status: 'rejected', reason: { code: 'CONNECTION_LOSS' } },
      { status: 'rejected', reason: { code: 'CONNECTION_LOSS' } },
    ]);
  });

  it('takes its ephemerals with it when it is closed', async () => {
    const [directory, other] = [await zookeeper.directory(), await zookeeper.connect()];
    const zk = await zookeeper.connect();
    await zk.create(`${directory}/mine`, EMPTY, 'EPHEMERAL');
    await Promise.all([zk.close(), zk.close()]);
    expect(await other.exists(`${directory}/mine`)).toBeNull();
    expect(zk.state.kind).toBe('CLOSED');
    expect(zk.leaseValid()).toBe(false);
  });

  it('closes within its deadline where the server does not answer, and right after it was opened', async () => {
    const proxy = await zookeeper.proxy();
    const zk = await zookeeper.connect({ via: proxy });
    proxy.blackHole();
    const beganMs = performance.now();
    await zk.close(200);
    expect(performance.now() - beganMs).toBeLessThan(600);

    const { connectString } = zookeeper.server;
    const other = connectZooKeeper({
      connectString,
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
      clock: systemClock,
      random: systemRandom,
    });
    await other.close();
    expect(other.state.kind).toBe('CLOSED');
  });

  it('says once, and not in a loop, that it cannot reach a server', async () => {
    const nowhere = await startTcpProxy(zookeeper.server.connectString);
    const { connectString } = nowhere;
    await nowhere.close();
    const lines: { level: number; msg: string; reason?: string }[] = [];
    const write = (line: string) => lines.push(JSON.parse(line) as (typeof lines)[number]);
    // A clock whose timers run twenty times as fast.
    const clock: Clock = {
      ...systemClock,
      monotonicMs: () => systemClock.monotonicMs() * 20,
      schedule: (delayMs, callback) => systemClock.schedule(delayMs / 20, callback),
    };
    let attempts = 0;
    const random = { ...systemRandom, next: () => ((attempts += 1), 0.5) };
    const zk = connectZooKeeper({
      connectString,
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
      clock,
      random,
      logger: pino({ level: 'warn' }, { write }),
    });
    await eventually('reported', () => lines.length > 0, SOON);
    const before = attempts;
    await eventually('many attempts more', () => attempts > before + 20, SOON);
    expect(lines).toHaveLength(1);
    expect(lines[0]?.reason).toContain('ECONNREFUSED');
    await zk.close();
  });

  it('names the operation of a multi that was refused, and what came of one that was not', async () => {
    const [zk, directory] = [await zookeeper.connect(), await zookeeper.directory()];
    const made = await zk.multi([
      { op: 'create', path: `${directory}/a`, data: Buffer.from('a'), mode: 'PERSISTENT' },
      { op: 'check', path: `${directory}/a`, version: 0 },
      { op: 'setData', path: `${directory}/a`, data: Buffer.from('b'), version: 0 },
      { op: 'create', path: `${directory}/s-`, data: EMPTY, mode: 'PERSISTENT_SEQUENTIAL' },
      { op: 'delete', path: `${directory}/a`, version: 1 },
    ]);
    expect(made).toMatchObject([
      { op: 'create', path: `${directory}/a` },
      { op: 'check' },
      { op: 'setData', stat: { version: 1, ephemeralOwner: 0n } },
      { op: 'create', path: expect.stringMatching(/\/s-\d{10}$/) as string },
      { op: 'delete' },
    ]);
    await expect(
      zk.multi([
        { op: 'check', path: directory, version: 0 },
        { op: 'check', path: directory, version: 7 },
        { op: 'delete', path: directory, version: -1 },
      ]),
    ).rejects.toMatchObject({ code: 'BAD_VERSION', operation: 'multi', opIndex: 1, path: directory });
    await zk.sync(directory);
    await zk.sync(`${directory}/nothing-there`);
  });

  it('does not send what the server would drop the connection for', async () => {
    const [zk, directory] = [await zookeeper.connect(), await zookeeper.directory()];
    const states = recordStates(zk);
    await expect(zk.setData(directory, Buffer.alloc(1_048_576), -1)).rejects.toMatchObject({
      code: 'BAD_ARGUMENTS',
    });
    const most = Buffer.alloc(900_000);
    expect((await zk.setData(directory, most, -1)).dataLength).toBe(most.length);
    expect(kinds(states)).toEqual(['CONNECTED']);
  });
});

function kinds(states: readonly ConnectionState[]): string[] {
  return states.map(({ kind }) => kind);
}

function connected(zk: ZooKeeper): Extract<ConnectionState, { kind: 'CONNECTED' }> {
  expect(zk.state.kind).toBe('CONNECTED');
  return zk.state as Extract<ConnectionState, { kind: 'CONNECTED' }>;
}
