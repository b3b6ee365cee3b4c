import { afterAll, afterEach, beforeAll } from 'vitest';
import { pino } from 'pino';
import { connectZooKeeper } from '../cluster/connection.ts';
import type { ZooKeeperOptions } from '../cluster/connection.ts';
import type { AccessControl } from '../cluster/access.ts';
import { whenConnected } from '../cluster/operations.ts';
import type { ConnectionState, ZooKeeper } from '../cluster/zookeeper.ts';
import { systemClock, systemRandom } from '../runtime/system.ts';
import { startTcpProxy } from './tcp-proxy.ts';
import type { TcpProxy } from './tcp-proxy.ts';
import { startTestZooKeeper } from './zookeeper.ts';
import type { TestZooKeeper } from './zookeeper.ts';

export interface ZooKeeperFixture {
  readonly server: TestZooKeeper;
  /** A network to the server for a test to break; closed after the test. */
  proxy(): Promise<TcpProxy>;
  /** A connection, connected; closed after the test. Straight to the server unless `via` a proxy. */
  connect(
    options?: Partial<ZooKeeperOptions> & { readonly via?: TcpProxy },
  ): Promise<ZooKeeper & AccessControl>;
  /** A new empty znode for a test to work under. */
  directory(): Promise<string>;
}

/** For a `describe` block: one ZooKeeper for all its tests, started before and stopped after them. */
export function useZooKeeper(options: { tickTimeMs: number; sessionTimeoutMs: number }): ZooKeeperFixture {
  let server: TestZooKeeper | undefined;
  const closers: (() => Promise<void>)[] = [];
  beforeAll(async () => {
    server = await startTestZooKeeper({ tickTimeMs: options.tickTimeMs });
  });
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });
  afterAll(async () => {
    await server?.stop();
  });

  const started = () => {
    if (server === undefined) throw new Error('ZooKeeper is started in beforeAll');
    return server;
  };
  const fixture: ZooKeeperFixture = {
    get server() {
      return started();
    },
    async proxy() {
      const proxy = await startTcpProxy(started().connectString);
      closers.push(() => proxy.close());
      return proxy;
    },
    async connect({ via, ...overrides } = {}) {
      const zk = connectZooKeeper({
        connectString: (via ?? started()).connectString,
        sessionTimeoutMs: options.sessionTimeoutMs,
        clock: systemClock,
        random: systemRandom,
        logger: pino({ level: 'silent' }),
        ...overrides,
      });
      closers.push(() => zk.close());
      await whenConnected(zk, { clock: systemClock, timeoutMs: 10_000 });
      return zk;
    },
    async directory() {
      const zk = await fixture.connect();
      return zk.create(`/test-${systemRandom.uuid()}`, Buffer.alloc(0), 'PERSISTENT');
    },
  };
  return fixture;
}

/** Records the states of `zk` from now on, the present one first. */
export function recordStates(zk: ZooKeeper): ConnectionState[] {
  const states = [zk.state];
  zk.onState((state) => states.push(state));
  return states;
}
