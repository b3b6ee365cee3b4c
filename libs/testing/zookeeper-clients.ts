/**
 * node-zookeeper-client as shipped, and our connection over it, behind the few operations that a story about
 * the shipped one's faults needs. Both can then be told the same story.
 */
import zookeeper from 'node-zookeeper-client';
import { pino } from 'pino';
import { connectZooKeeper } from '../cluster/connection.ts';
import { createProtectedSequential } from '../cluster/operations.ts';
import { watchData } from '../cluster/watch.ts';
import type { Watch } from '../cluster/watch.ts';
import { systemClock, systemRandom } from '../runtime/system.ts';

export interface ClientOptions {
  readonly connectString: string;
  readonly sessionTimeoutMs: number;
  /** How often the bare client repeats what ended in a lost connection. Ours has an operation for each case. */
  readonly retries?: number;
}

export interface ClientUnderTest {
  /** Whether it believes so. */
  isConnected(): boolean;
  /** Whether a leader may act now, as far as the client can tell. */
  mayAct(): boolean;
  onConnected(listener: () => void): void;
  /** Whether it knows that a session of its own is over. */
  knowsSessionIsOver(): boolean;
  /** What it has told its user since it was started: states, or warnings in the log. */
  reports(): number;
  createEphemeral(path: string): Promise<void>;
  read(path: string, watcher?: () => void): Promise<Buffer>;
  watchExistence(path: string, watcher: () => void): Promise<void>;
  /** Has `onChange` called whenever the data of `path` may have changed, as its user would. */
  follow(path: string, onChange: () => void): Promise<void>;
  write(path: string, data: Buffer): Promise<void>;
  children(path: string): Promise<string[]>;
  /** A multi: sets the data of `path` if its version is `version`. */
  checkAndSet(path: string, version: number, data: Buffer): Promise<void>;
  /** Creates `<prefix><sequence>`, once, though the answer be lost. */
  createSequential(parent: string, prefix: string): Promise<void>;
  /** The end of its session, as its user asks for it. */
  end(): Promise<void>;
  /** Lets go of sockets and timers, in whatever state it is. */
  close(): Promise<void>;
}

export const startClient = { bare: startBare, hardened: startHardened };

function startBare({ connectString, sessionTimeoutMs, retries = 0 }: ClientOptions): ClientUnderTest {
  const client = zookeeper.createClient(connectString, {
    sessionTimeout: sessionTimeoutMs,
    spinDelay: 50,
    retries,
  });
  let reports = 0;
  let over = false;
  client.on('state', () => (reports += 1));
  client.on('expired', () => {
    over = true;
  });
  // What a user can do about an expiry.
  client.on('disconnected', () => {
    if (over) setImmediate(() => client.connect());
  });
  client.connect();
  const settle = <T>(start: (done: (error: Error | null | undefined, value?: T) => void) => void) =>
    new Promise<T>((resolve, reject) => {
      start((error, value) => (error ? reject(error) : resolve(value as T)));
    });
  return {
    isConnected: () => client.getState().getName() === 'SYNC_CONNECTED',
    mayAct: () => client.getState().getName() === 'SYNC_CONNECTED',
    onConnected: (listener) => void client.on('connected', listener),
    knowsSessionIsOver: () => over,
    reports: () => reports,
    async createEphemeral(path) {
      await settle<string>((done) =>
        client.create(path, Buffer.alloc(0), zookeeper.CreateMode.EPHEMERAL, done),
      );
    },
    read: (path, watcher) => settle<Buffer>((done) => client.getData(path, watcher, done)),
    async watchExistence(path, watcher) {
      await settle<unknown>((done) => client.exists(path, watcher, done));
    },
    async follow(path, onChange) {
      const again = () => {
        onChange();
        client.getData(path, again, () => undefined);
      };
      await settle<Buffer>((done) => client.getData(path, again, done));
    },
    async write(path, data) {
      await settle((done) => client.setData(path, data, -1, done));
    },
    children: (path) => settle<string[]>((done) => client.getChildren(path, done)),
    async checkAndSet(path, version, data) {
      await settle((done) => client.transaction().check(path, version).setData(path, data, -1).commit(done));
    },
    async createSequential(parent, prefix) {
      const { PERSISTENT_SEQUENTIAL } = zookeeper.CreateMode;
      await settle<string>((done) =>
        client.create(`${parent}/${prefix}`, Buffer.alloc(0), PERSISTENT_SEQUENTIAL, done),
      );
    },
    end() {
      client.close();
      return Promise.resolve();
    },
    close() {
      // The only way out that works in every state: its own `close` leaves sockets and timers behind.
      const { connectionManager } = client;
      connectionManager.connect = () => {};
      connectionManager.socket?.destroy();
      return Promise.resolve();
    },
  };
}

function startHardened(options: ClientOptions): ClientUnderTest {
  const warnings: string[] = [];
  const logger = pino({ level: 'warn' }, { write: (line: string) => warnings.push(line) });
  const zk = connectZooKeeper({ ...options, clock: systemClock, random: systemRandom, logger });
  const watches: Watch[] = [];
  let over = false;
  zk.onState(({ kind }) => (over ||= kind === 'LOST'));
  return {
    isConnected: () => zk.state.kind === 'CONNECTED',
    mayAct: () => zk.leaseValid(),
    onConnected: (listener) =>
      void zk.onState(({ kind }) => {
        if (kind === 'CONNECTED') listener();
      }),
    knowsSessionIsOver: () => over,
    reports: () => warnings.length,
    async createEphemeral(path) {
      await zk.create(path, Buffer.alloc(0), 'EPHEMERAL');
    },
    read: async (path, watcher) => (await zk.getData(path, watcher)).data,
    async watchExistence(path, watcher) {
      await zk.exists(path, watcher);
    },
    follow(path, onChange) {
      watches.push(watchData({ zk, clock: systemClock, path, onChange, periodMs: 3_600_000 }));
      return Promise.resolve();
    },
    async write(path, data) {
      await zk.setData(path, data, -1);
    },
    children: async (path) => (await zk.getChildren(path)).children,
    async checkAndSet(path, version, data) {
      await zk.multi([
        { op: 'check', path, version },
        { op: 'setData', path, data, version: -1 },
      ]);
    },
    async createSequential(parent, prefix) {
      const retry = { zk, clock: systemClock, random: systemRandom };
      const node = { parent, prefix, guid: systemRandom.uuid(), data: Buffer.alloc(0) };
      await createProtectedSequential(retry, node);
    },
    end: () => zk.close(),
    close() {
      for (const watch of watches) watch.close();
      return zk.close();
    },
  };
}
