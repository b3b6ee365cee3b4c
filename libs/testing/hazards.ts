/** Tells one story to node-zookeeper-client as shipped and to our connection over it, and compares the ends. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectZooKeeper } from '../cluster/connection.ts';
import { whenConnected } from '../cluster/operations.ts';
import type { ZooKeeper } from '../cluster/zookeeper.ts';
import { systemClock, systemRandom } from '../runtime/system.ts';
import { eventually } from './eventually.ts';
import { startTcpProxy } from './tcp-proxy.ts';
import type { TcpProxy } from './tcp-proxy.ts';
import { startClient } from './zookeeper-clients.ts';
import type { ClientOptions, ClientUnderTest } from './zookeeper-clients.ts';
import { startTestZooKeeper } from './zookeeper.ts';
import type { TestZooKeeper } from './zookeeper.ts';

const TICK_MS = 200;
const SESSION_TIMEOUT_MS = 1_500;

export type ClientKind = keyof typeof startClient;

export interface World {
  readonly kind: ClientKind;
  readonly proxy: TcpProxy;
  /** Starts the client behind the proxy. */
  readonly start: (options?: Partial<ClientOptions>) => ClientUnderTest;
  /** Starts it, and waits until it is connected. */
  readonly startConnected: (options?: Partial<ClientOptions>) => Promise<ClientUnderTest>;
  /** Under which the story may create what it likes. */
  readonly path: string;
}

export interface Hazards {
  /** A test: what becomes of the bare client in `story`, and of ours. */
  readonly hazard: <T>(
    title: string,
    story: (world: World) => Promise<T>,
    outcome: { bare: T; hardened: T },
  ) => void;
  /** Resolves when the server has `path` no more. */
  readonly gone: (path: string) => Promise<boolean>;
  /** Connected past every proxy: sees what the server sees. */
  readonly observer: () => ZooKeeper;
  readonly server: () => TestZooKeeper;
}

/** For a `describe` block: one server for all its stories. */
export function useHazards(tickTimeMs = TICK_MS): Hazards {
  let server: TestZooKeeper | undefined;
  let observer: ZooKeeper | undefined;
  beforeAll(async () => {
    server = await startTestZooKeeper({ tickTimeMs });
    const { connectString } = server;
    const system = { clock: systemClock, random: systemRandom };
    observer = connectZooKeeper({ connectString, sessionTimeoutMs: 20 * tickTimeMs, ...system });
    await whenConnected(observer, { clock: systemClock, timeoutMs: 10_000 });
  });
  afterAll(async () => {
    await observer?.close();
    await server?.stop();
  });
  const started = <T>(value: T | undefined): T => {
    if (value === undefined) throw new Error('started in beforeAll');
    return value;
  };

  async function tell<T>(kind: ClientKind, story: (world: World) => Promise<T>): Promise<T> {
    const proxy = await startTcpProxy(started(server).connectString);
    const path = `/${kind}-${systemRandom.uuid()}`;
    await started(observer).create(path, Buffer.alloc(0), 'PERSISTENT');
    const clients: ClientUnderTest[] = [];
    const start: World['start'] = (options) => {
      const { connectString } = proxy;
      const client = startClient[kind]({ connectString, sessionTimeoutMs: SESSION_TIMEOUT_MS, ...options });
      clients.push(client);
      return client;
    };
    const startConnected: World['startConnected'] = async (options) => {
      const client = start(options);
      await eventually('connected', () => client.isConnected(), { withinMs: 5_000 });
      return client;
    };
    try {
      return await story({ kind, proxy, start, startConnected, path });
    } finally {
      for (const client of clients) await client.close();
      await proxy.close();
    }
  }

  return {
    hazard(title, story, outcome) {
      it(title, async () => {
        const [bare, hardened] = await Promise.all([tell('bare', story), tell('hardened', story)]);
        expect({ bare, hardened }).toEqual(outcome);
      });
    },
    gone: (path) =>
      eventually(`${path} gone`, async () => (await started(observer).exists(path)) === null, {
        withinMs: 10_000,
      }),
    observer: () => started(observer),
    server: () => started(server),
  };
}

/** Whether `fact` comes true within `ms`. */
export function within(ms: number, fact: () => boolean | Promise<boolean>): Promise<boolean> {
  return eventually('', fact, { withinMs: ms }).then(
    () => true,
    () => false,
  );
}
