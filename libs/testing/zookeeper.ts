/** The ZooKeeper that integration and end-to-end tests run against: embedded, or by TEST_ZOOKEEPER=real a real one. */
import type { Faults } from '../embedded/zookeeper/faults.ts';
import { DEBIAN_ZOOKEEPER_JAR, findRealZooKeeper } from './real-servers.ts';
import { startContainer } from './zookeeper/container.ts';
import { startDebian } from './zookeeper/debian.ts';
import { startEmbedded } from './zookeeper/embedded.ts';

export interface TestZooKeeper {
  readonly kind: 'embedded' | 'testcontainers' | 'debian';
  /** host:port, the same after a restart. */
  readonly connectString: string;
  readonly tickTimeMs: number;
  /** Embedded only. */
  readonly faults?: Faults;
  /** Ends the server, keeping its data. Sessions are kept as well and do not expire meanwhile. */
  down(): Promise<void>;
  /** Starts it again at the same address; resolves once it serves. */
  up(): Promise<void>;
  restart(): Promise<void>;
  /** Ends the server and removes its data. Idempotent. */
  stop(): Promise<void>;
}

export interface TestZooKeeperOptions {
  /** Default 500: sessions expire in steps of it, and last at least two. */
  readonly tickTimeMs?: number;
  /**
   * One server for all that ask for a shared one in this process, until the last of them stops it. Tests keep
   * apart by names of clusters; one that needs faults, restarts or a tick of its own must not share.
   */
  readonly shared?: boolean;
}

/** Real servers were asked for, and this machine has none. */
export class ServerUnavailableError extends Error {
  override name = 'ServerUnavailableError';
}

export interface ZooKeeperAvailability {
  readonly kind: TestZooKeeper['kind'] | 'none';
  /** For a person: where the server comes from, or why there is none. */
  readonly description: string;
}

const DESCRIPTIONS: Record<ZooKeeperAvailability['kind'], string> = {
  embedded: 'the embedded ZooKeeper',
  testcontainers: 'a real ZooKeeper: image zookeeper:3.9 by testcontainers',
  debian: `a real ZooKeeper: ${DEBIAN_ZOOKEEPER_JAR} run by java`,
  none: `no real ZooKeeper: no Docker engine answers, and java or ${DEBIAN_ZOOKEEPER_JAR} is missing`,
};

/** What {@link startTestZooKeeper} would start; suites skip themselves, and are counted skipped, on `none`. */
export async function zooKeeperAvailability(): Promise<ZooKeeperAvailability> {
  const { TEST_ZOOKEEPER = '' } = process.env;
  const asked = TEST_ZOOKEEPER === '' ? 'embedded' : TEST_ZOOKEEPER;
  if (asked !== 'embedded' && asked !== 'real') {
    throw new Error(`TEST_ZOOKEEPER must be embedded or real, not ${asked}`);
  }
  const kind = asked === 'embedded' ? asked : await findRealZooKeeper();
  return { kind, description: DESCRIPTIONS[kind] };
}

/** A real one, whatever TEST_ZOOKEEPER says; `undefined` where this machine has none. */
export async function startRealZooKeeper(tickTimeMs: number): Promise<TestZooKeeper | undefined> {
  const kind = await findRealZooKeeper();
  return kind === 'none' ? undefined : startOfKind(kind, tickTimeMs);
}

/** @throws ServerUnavailableError */
export async function startTestZooKeeper(options: TestZooKeeperOptions = {}): Promise<TestZooKeeper> {
  if (options.shared !== true) return startOwn(options.tickTimeMs ?? 500);
  shared ??= { users: 0, server: startOwn(500) };
  const lease = shared;
  lease.users += 1;
  const server = await lease.server;
  let stopped = false;
  return {
    ...server,
    async stop() {
      if (stopped) return;
      stopped = true;
      lease.users -= 1;
      if (lease.users > 0) return;
      shared = undefined;
      await server.stop();
    },
  };
}

let shared: { users: number; readonly server: Promise<TestZooKeeper> } | undefined;

async function startOwn(tickTimeMs: number): Promise<TestZooKeeper> {
  const { kind, description } = await zooKeeperAvailability();
  if (kind === 'none') throw new ServerUnavailableError(description);
  return startOfKind(kind, tickTimeMs);
}

function startOfKind(kind: TestZooKeeper['kind'], tickTimeMs: number): Promise<TestZooKeeper> {
  switch (kind) {
    case 'embedded':
      return startEmbedded(tickTimeMs);
    case 'testcontainers':
      return startContainer(tickTimeMs);
    case 'debian':
      return startDebian(tickTimeMs);
  }
}
