import { backoffMs } from '../core/backoff.ts';
import type { Clock, Timer } from '../core/clock.ts';
import type { Random } from '../core/random.ts';
import type { Logger } from '../runtime/logger.ts';
import type { AccessControl, AclEntry, DigestAuth } from './access.ts';
import { SessionHandle } from './session-handle.ts';
import type { SessionEvent } from './session-handle.ts';
import { ZooKeeperError, isZooKeeperError } from './zookeeper.ts';
import type { ConnectionState, CreateMode, Op, OpResult, Stat, Watcher, ZooKeeper } from './zookeeper.ts';

export interface ZooKeeperOptions {
  /** `host:port`, several separated by commas. */
  readonly connectString: string;
  /** As asked for; the server clamps it to [2, 20] × its tickTime. */
  readonly sessionTimeoutMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  /** Proven on every connection; see {@link DigestAuth}. */
  readonly auth?: DigestAuth | undefined;
}

/** Between one session lost and the attempt at the next. */
const SESSION_BACKOFF = { baseMs: 100, maxMs: 5_000 };
const WARN_UNREACHABLE_AFTER_MS = 3_000;
const CLOSE_DEADLINE_MS = 1_000;

/**
 * Connects to ZooKeeper and stays connected, session after session, until closed. Returns at once, in state
 * CONNECTING: operations are refused with CONNECTION_LOSS until the state is CONNECTED.
 *
 * ```ts
 * const zk = connectZooKeeper({ connectString: '127.0.0.1:2181', sessionTimeoutMs: 4000, clock, random, logger });
 * zk.onState((state) => logger.info(state));
 * await whenConnected(zk, { clock, timeoutMs: 10_000 });
 * const { data, stat } = await zk.getData('/scheduler-cluster/meta');
 * await zk.close();
 * ```
 */
export function connectZooKeeper(options: ZooKeeperOptions): ZooKeeper & AccessControl {
  return new Connection(options);
}

/**
 * The connection's state machine; the names and their meaning are Apache Curator's.
 *
 * ```
 * LATENT → CONNECTING → CONNECTED ⇄ SUSPENDED → LOST → CONNECTING (epoch + 1, a new session handle)
 * any → CLOSED
 * ```
 * | state | what it means |
 * | --- | --- |
 * | CONNECTING | no session yet: trying every server in turn |
 * | CONNECTED | as far as is known; whether it can be relied on this very moment, `leaseValid` tells |
 * | SUSPENDED | no connection, the session may live: stop leading, start no new side effects |
 * | LOST | the server said expired or refused the credentials, or nothing was acknowledged for a whole session timeout by our own clocks. The old handle is destroyed before anyone hears of it |
 *
 * The own clock matters where the server tells nothing: it is down for long, it was wiped and refuses a client
 * that has seen later transactions, or this process itself was paused. The old session may then still live at
 * the server: its ephemerals are ours to remove, see {@link sessionHistory}.
 */
class Connection implements ZooKeeper, AccessControl {
  readonly #options: ZooKeeperOptions;
  readonly #listeners = new Set<(state: ConnectionState) => void>();
  #state: ConnectionState = { kind: 'LATENT' };
  #handle: SessionHandle | undefined;
  #epoch = 0;
  /** Transitions not yet told, for one that a listener itself brings about. */
  readonly #untold: ConnectionState[] = [];
  #failedSessions = 0;
  #connectedSinceMs = Infinity;
  #nextSession: Timer | undefined;
  #unreachable: Timer | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ZooKeeperOptions) {
    this.#options = options;
    this.#startSession();
  }

  get state(): ConnectionState {
    return this.#state;
  }

  onState(listener: (state: ConnectionState) => void): () => void {
    // A wrapper of its own, so that one function can be subscribed twice.
    const entry = (state: ConnectionState) => listener(state);
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  leaseValid(): boolean {
    return this.#state.kind === 'CONNECTED' && this.#handle?.leaseValid() === true;
  }

  async create(path: string, data: Buffer, mode: CreateMode): Promise<string> {
    return this.#session('create', path).create(path, data, mode);
  }

  async getData(path: string, watcher?: Watcher): Promise<{ data: Buffer; stat: Stat }> {
    return this.#session('getData', path).getData(path, watcher);
  }

  async exists(path: string, watcher?: Watcher): Promise<Stat | null> {
    return this.#session('exists', path).exists(path, watcher);
  }

  async getChildren(path: string, watcher?: Watcher): Promise<{ children: string[]; stat: Stat }> {
    return this.#session('getChildren', path).getChildren(path, watcher);
  }

  async setData(path: string, data: Buffer, version: number): Promise<Stat> {
    return this.#session('setData', path).setData(path, data, version);
  }

  async delete(path: string, version: number): Promise<void> {
    return this.#session('delete', path).delete(path, version);
  }

  async multi(ops: readonly Op[]): Promise<OpResult[]> {
    return this.#session('multi').multi(ops);
  }

  async getAcl(path: string): Promise<{ acl: readonly AclEntry[]; stat: Stat }> {
    return this.#session('getAcl', path).getAcl(path);
  }

  async setCreatorAcl(path: string, aversion: number): Promise<Stat> {
    return this.#session('setAcl', path).setCreatorAcl(path, aversion);
  }

  /**
   * A multi that only checks, rather than ZooKeeper's sync: it goes through the ensemble's quorum, where a sync
   * is answered by a leader that may have been deposed without knowing. Any answer of the server will do.
   */
  async sync(path: string): Promise<void> {
    try {
      await this.#session('sync', path).multi([{ op: 'check', path, version: -1 }]);
    } catch (error) {
      if (!isZooKeeperError(error, 'NO_NODE', 'BAD_VERSION', 'NO_AUTH')) throw error;
    }
  }

  close(deadlineMs = CLOSE_DEADLINE_MS): Promise<void> {
    this.#closing ??= this.#close(deadlineMs);
    return this.#closing;
  }

  async #close(deadlineMs: number): Promise<void> {
    this.#nextSession?.cancel();
    this.#unreachable?.cancel();
    this.#become({ kind: 'CLOSED' });
    await this.#handle?.close(deadlineMs);
  }

  #session(operation: string, path?: string): SessionHandle {
    if (this.#handle !== undefined && this.#state.kind === 'CONNECTED') return this.#handle;
    const code = this.#state.kind === 'CLOSED' ? 'SESSION_EXPIRED' : 'CONNECTION_LOSS';
    throw new ZooKeeperError(code, operation, path, { message: `${code} (${this.#state.kind})` });
  }

  #startSession(): void {
    const { connectString, sessionTimeoutMs, clock, random, auth } = this.#options;
    const epoch = ++this.#epoch;
    const handle = new SessionHandle({
      connectString,
      sessionTimeoutMs,
      clock,
      random,
      auth,
      // A handle of an epoch gone by has nothing to say any more.
      onEvent: (event) => {
        if (epoch === this.#epoch && this.#state.kind !== 'CLOSED') this.#onEvent(event, handle);
      },
    });
    this.#handle = handle;
    this.#unreachable ??= clock.schedule(WARN_UNREACHABLE_AFTER_MS, () => {
      this.#options.logger?.warn(
        { connectString, reason: handle.lastError?.message },
        'cannot reach ZooKeeper; trying on',
      );
    });
    this.#become({ kind: 'CONNECTING' });
    handle.connect();
  }

  #onEvent(event: SessionEvent, handle: SessionHandle): void {
    switch (event) {
      case 'CONNECTED':
        return this.#connected(handle);
      case 'DISCONNECTED':
        if (this.#state.kind !== 'CONNECTED') return;
        this.#options.logger?.warn({ reason: handle.lastError?.message }, 'ZooKeeper connection suspended');
        return this.#become({ kind: 'SUSPENDED' });
      case 'EXPIRED':
        return this.#lose(handle, 'the server has expired it');
      case 'AUTH_FAILED':
        return this.#lose(handle, 'the server refused the credentials');
      case 'SILENT':
        return this.#lose(handle, 'nothing was acknowledged for a whole session timeout');
    }
  }

  #connected(handle: SessionHandle): void {
    const { sessionId, sessionTimeoutMs } = handle;
    this.#connectedSinceMs = this.#options.clock.monotonicMs();
    this.#unreachable?.cancel();
    this.#unreachable = undefined;
    this.#options.logger?.info(
      { sessionId: `0x${sessionId.toString(16)}`, sessionTimeoutMs },
      'ZooKeeper connected',
    );
    this.#become({ kind: 'CONNECTED', epoch: this.#epoch, sessionId, sessionTimeoutMs });
  }

  #lose(handle: SessionHandle, reason: string): void {
    handle.destroy();
    this.#handle = undefined;
    const { clock, random, logger } = this.#options;
    if (clock.monotonicMs() - this.#connectedSinceMs > handle.sessionTimeoutMs) this.#failedSessions = 0;
    // Said once, not for each of a row of sessions that end as soon as they begin.
    if (this.#failedSessions === 0) logger?.warn(`ZooKeeper session lost: ${reason}`);
    this.#connectedSinceMs = Infinity;
    this.#nextSession = clock.schedule(backoffMs(this.#failedSessions++, random, SESSION_BACKOFF), () =>
      this.#startSession(),
    );
    this.#become({ kind: 'LOST' });
  }

  /** Listeners hear of it in order and at once. One that throws is a bug, reported outside the socket's handlers. */
  #become(state: ConnectionState): void {
    this.#state = state;
    if (this.#untold.push(state) > 1) return;
    for (let next: ConnectionState | undefined = state; next !== undefined; next = this.#untold[0]) {
      for (const listener of [...this.#listeners]) {
        try {
          listener(next);
        } catch (error) {
          setImmediate(() => {
            throw error;
          });
        }
      }
      this.#untold.shift();
    }
  }
}
