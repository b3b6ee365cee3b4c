import zookeeper from 'node-zookeeper-client';
import ConnectionManager from 'node-zookeeper-client/lib/ConnectionManager.js';
import type { EventListener } from 'node-zookeeper-client/lib/ConnectionManager.js';
import Exception from 'node-zookeeper-client/lib/Exception.js';
import jute from 'node-zookeeper-client/lib/jute/index.js';
import type { Payload, Response } from 'node-zookeeper-client/lib/jute/index.js';
import type { Clock } from '../core/clock.ts';
import type { Random } from '../core/random.ts';
import { creatorAcl } from './access.ts';
import type { AclEntry, DigestAuth } from './access.ts';
import { acceptUnknownCodes, errorOfCode } from './error-codes.ts';
import { HardenedConnection, request } from './hardened-connection.ts';
import { multiRequest, multiResults, required, toStat } from './wire.ts';
import { ZooKeeperError } from './zookeeper.ts';
import type { CreateMode, Op, OpResult, Stat, Watcher } from './zookeeper.ts';

const { STATES } = ConnectionManager;
const { OP_CODES, protocol } = jute;

export type SessionEvent = 'CONNECTED' | 'DISCONNECTED' | 'EXPIRED' | 'AUTH_FAILED' | 'SILENT';

export interface SessionHandleOptions {
  readonly connectString: string;
  readonly sessionTimeoutMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly auth: DigestAuth | undefined;
  /** Must not throw. After EXPIRED, AUTH_FAILED and SILENT the handle is of no more use. */
  readonly onEvent: (event: SessionEvent) => void;
}

/** The server processes no more of one client's requests at a time than its `globalOutstandingLimit` anyway. */
const MAX_OUTSTANDING = 10_000;
/** The server drops a connection that sends 1 MiB; a little is left for what encoding adds. */
const MAX_REQUEST_BYTES = 1_000_000;

/**
 * One ZooKeeper session over at most one connection at a time; never used for a second session.
 *
 * ```
 * (connect) → DISCONNECTED ⇄ CONNECTED → EXPIRED | AUTH_FAILED | SILENT → destroyed
 *                             CONNECTED → (close) → destroyed
 * ```
 * An operation is refused with CONNECTION_LOSS at once unless the session is connected, and settles at the
 * latest when its connection ends. No callback of ours runs inside the socket's handlers: promises continue as
 * microtasks, and watchers are called in the order of their events, after those.
 */
export class SessionHandle {
  readonly #connection: HardenedConnection;
  readonly #clock: Clock;
  readonly #acls: ReturnType<typeof creatorAcl>;
  /** Rejects each operation that has no answer yet. */
  readonly #outstanding = new Set<() => void>();
  /** The same watcher must stay the same listener, so that the package knows it when it is set again. */
  readonly #listeners = new WeakMap<Watcher, EventListener>();
  #destroyed = false;
  #onEnd: (() => void) | undefined;
  #lastError: Error | undefined;

  constructor(options: SessionHandleOptions) {
    acceptUnknownCodes();
    this.#clock = options.clock;
    this.#connection = new HardenedConnection({
      ...options,
      onState: (state) => this.#onState(state, options.onEvent),
      onSilence: () => options.onEvent('SILENT'),
      onSocketError: (error) => (this.#lastError = error),
    });
    this.#acls = creatorAcl(options.auth);
    if (options.auth) {
      const { user, password } = options.auth;
      this.#connection.addAuthInfo('digest', Buffer.from(`${user}:${password}`));
    }
  }

  /** Begins to connect, and goes on trying until the session is over. */
  connect(): void {
    this.#connection.connect();
  }

  get sessionId(): bigint {
    return this.#connection.sessionId.readBigInt64BE();
  }

  /** As negotiated, milliseconds. */
  get sessionTimeoutMs(): number {
    return this.#connection.sessionTimeout;
  }

  /** What went wrong last on the way to a server. */
  get lastError(): Error | undefined {
    return this.#lastError;
  }

  leaseValid(): boolean {
    return !this.#destroyed && this.#connection.liveness.leaseValid(this.sessionTimeoutMs);
  }

  create(path: string, data: Buffer, mode: CreateMode): Promise<string> {
    const acls = this.#acls.map((acl) => acl.toRecord());
    const record = new protocol.CreateRequest(path, data, acls, zookeeper.CreateMode[mode]);
    return this.#request('create', path, OP_CODES.CREATE, record, ({ payload }) => required(payload?.path));
  }

  getData(path: string, watcher?: Watcher): Promise<{ data: Buffer; stat: Stat }> {
    const record = new protocol.GetDataRequest(path, watcher !== undefined);
    return this.#request('getData', path, OP_CODES.GET_DATA, record, ({ payload }) => {
      if (watcher) this.#connection.registerDataWatcher(path, this.#listener(watcher));
      return { data: payload?.data ?? Buffer.alloc(0), stat: toStat(required(payload?.stat)) };
    });
  }

  exists(path: string, watcher?: Watcher): Promise<Stat | null> {
    const record = new protocol.ExistsRequest(path, watcher !== undefined);
    return this.#request('exists', path, OP_CODES.EXISTS, record, ({ header, payload }) => {
      const missing = header.err === Exception.NO_NODE;
      if (watcher) {
        const listener = this.#listener(watcher);
        if (missing) this.#connection.registerExistenceWatcher(path, listener);
        else this.#connection.registerDataWatcher(path, listener);
      }
      return missing ? null : toStat(required(payload?.stat));
    });
  }

  getChildren(path: string, watcher?: Watcher): Promise<{ children: string[]; stat: Stat }> {
    const record = new protocol.GetChildren2Request(path, watcher !== undefined);
    return this.#request('getChildren', path, OP_CODES.GET_CHILDREN2, record, ({ payload }) => {
      if (watcher) this.#connection.registerChildWatcher(path, this.#listener(watcher));
      return { children: (payload?.children ?? []).toSorted(), stat: toStat(required(payload?.stat)) };
    });
  }

  setData(path: string, data: Buffer, version: number): Promise<Stat> {
    const record = new protocol.SetDataRequest(path, data, version);
    const read = ({ payload }: Response) => toStat(required(payload?.stat));
    return this.#request('setData', path, OP_CODES.SET_DATA, record, read);
  }

  delete(path: string, version: number): Promise<void> {
    const record = new protocol.DeleteRequest(path, version);
    return this.#request('delete', path, OP_CODES.DELETE, record, () => undefined);
  }

  multi(ops: readonly Op[]): Promise<OpResult[]> {
    const record = multiRequest(ops, this.#acls);
    const read = ({ payload }: Response) => multiResults(ops, required(payload?.results));
    return this.#request('multi', undefined, OP_CODES.MULTI, record, read);
  }

  getAcl(path: string): Promise<{ acl: readonly AclEntry[]; stat: Stat }> {
    const record = new protocol.GetACLRequest(path);
    return this.#request('getAcl', path, OP_CODES.GET_ACL, record, ({ payload }) => ({
      acl: required(payload?.acl).map(({ perms, id: { scheme, id } }) => ({ perms, scheme, id })),
      stat: toStat(required(payload?.stat)),
    }));
  }

  setCreatorAcl(path: string, aversion: number): Promise<Stat> {
    const acls = this.#acls.map((acl) => acl.toRecord());
    const record = new protocol.SetACLRequest(path, acls, aversion);
    const read = ({ payload }: Response) => toStat(required(payload?.stat));
    return this.#request('setAcl', path, OP_CODES.SET_ACL, record, read);
  }

  /**
   * Ends the session at the server within `deadlineMs`, reconnecting for that where it must, then lets go of
   * everything. Where the server cannot be told in time, the session's ephemerals stay until it expires.
   */
  async close(deadlineMs: number): Promise<void> {
    if (!this.#destroyed && this.#connection.liveness.established) {
      await new Promise<void>((resolve) => {
        const deadline = this.#clock.schedule(deadlineMs, resolve);
        this.#onEnd = () => {
          deadline.cancel();
          resolve();
        };
        if (this.#connection.state === STATES.CONNECTED) this.#connection.close();
      });
    }
    this.destroy();
  }

  /** Lets go of socket, timers and watchers at once; no event follows. Idempotent. */
  destroy(): void {
    this.#destroyed = true;
    this.#connection.destroy();
    this.#settleOutstanding();
    this.#onEnd?.();
  }

  #onState(state: number, onEvent: (event: SessionEvent) => void): void {
    switch (state) {
      case STATES.CONNECTED:
        return this.#onEnd === undefined ? onEvent('CONNECTED') : this.#connection.close();
      case STATES.DISCONNECTED:
        this.#settleOutstanding();
        return onEvent('DISCONNECTED');
      case STATES.SESSION_EXPIRED:
        return onEvent('EXPIRED');
      case STATES.AUTHENTICATION_FAILED:
        return onEvent('AUTH_FAILED');
      case STATES.CLOSED:
        return this.#onEnd?.();
    }
  }

  /** The package answers what it remembers; this answers also what a reply that could not be read has lost. */
  #settleOutstanding(): void {
    for (const lost of this.#outstanding) lost();
    this.#outstanding.clear();
  }

  /**
   * @param read makes the result of a successful answer, or of NO_NODE to `exists`; called within the socket's
   *   handler, so that a watcher set there precedes the next event
   */
  #request<T>(
    operation: string,
    path: string | undefined,
    type: number,
    payload: Payload,
    read: (response: Response) => T,
  ): Promise<T> {
    const refusal = this.#refusal(operation, path, payload.byteLength());
    if (refusal) return Promise.reject(refusal);
    const sent = this.#connection.liveness.now();
    return new Promise((resolve, reject) => {
      const lost = () => reject(new ZooKeeperError('CONNECTION_LOSS', operation, path));
      this.#outstanding.add(lost);
      this.#connection.queue(request(type, payload), (error, response) => {
        this.#outstanding.delete(lost);
        if (response) this.#connection.liveness.acknowledged(sent);
        const missing = type === OP_CODES.EXISTS && error?.code === Exception.NO_NODE;
        try {
          if (response && (error === null || missing)) resolve(read(response));
          else reject(errorOfCode(error?.code ?? Exception.CONNECTION_LOSS, operation, path));
        } catch (fault) {
          reject(fault instanceof Error ? fault : new Error(String(fault)));
        }
      });
    });
  }

  #refusal(operation: string, path: string | undefined, bytes: number): ZooKeeperError | undefined {
    if (bytes > MAX_REQUEST_BYTES) {
      return new ZooKeeperError('BAD_ARGUMENTS', operation, path, {
        message: `${bytes} bytes, over the limit of ${MAX_REQUEST_BYTES}`,
      });
    }
    if (this.#destroyed || this.#connection.state !== STATES.CONNECTED) {
      return new ZooKeeperError('CONNECTION_LOSS', operation, path, { message: 'not connected' });
    }
    if (this.#outstanding.size >= MAX_OUTSTANDING) {
      return new ZooKeeperError('OTHER', operation, path, { message: 'too many operations in flight' });
    }
    return undefined;
  }

  #listener(watcher: Watcher): EventListener {
    let listener = this.#listeners.get(watcher);
    if (listener === undefined) {
      listener = ({ name, path }) => {
        setImmediate(() => {
          if (!this.#destroyed) watcher({ type: name, path });
        });
      };
      this.#listeners.set(watcher, listener);
    }
    return listener;
  }
}
