import { errorOfCode } from '../../libs/cluster/error-codes.ts';
import { SessionLiveness } from '../../libs/cluster/session-liveness.ts';
import type { Instant } from '../../libs/cluster/session-liveness.ts';
import { ZooKeeperError } from '../../libs/cluster/zookeeper.ts';
import type {
  ConnectionState,
  CreateMode,
  Op,
  OpResult,
  Stat,
  Watcher,
  ZooKeeper,
} from '../../libs/cluster/zookeeper.ts';
import { backoffMs } from '../../libs/core/backoff.ts';
import type { Timer } from '../../libs/core/clock.ts';
import { invariant } from '../../libs/core/invariant.ts';
import type { Random } from '../../libs/core/random.ts';
import { OPEN_ACL } from '../../libs/embedded/zookeeper/acl.ts';
import type { Reply, ReplyBody, Request, WatchEvent } from '../../libs/embedded/zookeeper/protocol.ts';
import { ErrorCode } from '../../libs/embedded/zookeeper/protocol.ts';
import type { Thread } from '../thread.ts';
import type { Wire } from '../wire.ts';
import type { Connection, Ensemble, Packet } from './ensemble.ts';
import { flagsOf, multiResults, toStat, toWriteOp } from './messages.ts';

export interface ClientOptions {
  readonly ensemble: Ensemble;
  readonly wire: Wire;
  readonly thread: Thread;
  readonly process: string;
  readonly sessionTimeoutMs: number;
  readonly random: Random;
}

type WatchKind = 'data' | 'exist' | 'child';

interface Pending {
  readonly sent: Instant;
  readonly settle: (reply: Reply) => void;
  readonly lose: () => void;
}

/** One session: what the server knows of us, and we of it. */
interface Session {
  sessionId: bigint;
  timeoutMs: number;
  lastZxid: bigint;
  readonly liveness: SessionLiveness;
  readonly watchers: Record<WatchKind, Map<string, Set<Watcher>>>;
}

const RECONNECT = { baseMs: 50, maxMs: 1_000 };
const NEXT_SESSION = { baseMs: 100, maxMs: 5_000 };
const PASSWORD = Buffer.alloc(16, 1);

/**
 * The port over virtual connections, with the behaviour of `libs/cluster/connection.ts`: its states, its pings
 * at a third of the timeout, its patience of two thirds, its sessions lost by its own clock.
 */
export class SimulatedZooKeeper implements ZooKeeper {
  readonly #options: ClientOptions;
  readonly #listeners = new Set<(state: ConnectionState) => void>();
  #state: ConnectionState = { kind: 'LATENT' };
  #epoch = 0;
  #session: Session;
  #connection: Connection | undefined;
  #pending = new Map<number, Pending>();
  #xid = 0;
  #attempts = 0;
  #lostSessions = 0;
  #lastSentMs = 0;
  #lastHeardMs = 0;
  #watchdog: Timer | undefined;
  #next: Timer | undefined;
  #closed: (() => void) | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#session = this.#newSession();
    this.#startSession();
  }

  get state(): ConnectionState {
    return this.#state;
  }

  onState(listener: (state: ConnectionState) => void): () => void {
    const entry = (state: ConnectionState) => listener(state);
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  leaseValid(): boolean {
    return this.#state.kind === 'CONNECTED' && this.#session.liveness.leaseValid(this.#session.timeoutMs);
  }

  async create(path: string, data: Buffer, mode: CreateMode): Promise<string> {
    const body = await this.#call('create', {
      type: 'create',
      path,
      data,
      acl: OPEN_ACL,
      flags: flagsOf(mode),
    });
    invariant(body.type === 'path', 'a create is answered with a path');
    return body.path;
  }

  async getData(path: string, watcher?: Watcher): Promise<{ data: Buffer; stat: Stat }> {
    const body = await this.#call(
      'getData',
      { type: 'getData', path, watch: watcher !== undefined },
      watcher,
    );
    invariant(body.type === 'data', 'getData is answered with data');
    return { data: body.data ?? Buffer.alloc(0), stat: toStat(body.stat) };
  }

  async exists(path: string, watcher?: Watcher): Promise<Stat | null> {
    const body = await this.#call('exists', { type: 'exists', path, watch: watcher !== undefined }, watcher);
    if (body.type === 'none') return null;
    invariant(body.type === 'stat', 'exists is answered with a stat');
    return toStat(body.stat);
  }

  async getChildren(path: string, watcher?: Watcher): Promise<{ children: string[]; stat: Stat }> {
    const request: Request = { type: 'getChildren2', path, watch: watcher !== undefined };
    const body = await this.#call('getChildren', request, watcher);
    invariant(body.type === 'childrenAndStat', 'getChildren2 is answered with children and a stat');
    return { children: [...body.children].sort(), stat: toStat(body.stat) };
  }

  async setData(path: string, data: Buffer, version: number): Promise<Stat> {
    const body = await this.#call('setData', { type: 'setData', path, data, version });
    invariant(body.type === 'stat', 'setData is answered with a stat');
    return toStat(body.stat);
  }

  async delete(path: string, version: number): Promise<void> {
    await this.#call('delete', { type: 'delete', path, version });
  }

  async multi(ops: readonly Op[]): Promise<OpResult[]> {
    const body = await this.#call('multi', { type: 'multi', ops: ops.map(toWriteOp) });
    invariant(body.type === 'multi', 'a multi is answered with results');
    return multiResults(ops, body.results);
  }

  async sync(path: string): Promise<void> {
    await this.#call('sync', { type: 'sync', path });
  }

  /** Ends the session where it is connected; a session that is not ends by itself. */
  async close(deadlineMs = 1_000): Promise<void> {
    if (this.#state.kind === 'CLOSED') return;
    const connection = this.#state.kind === 'CONNECTED' ? this.#connection : undefined;
    this.#become({ kind: 'CLOSED' });
    this.#next?.cancel();
    this.#watchdog?.cancel();
    this.#loseAll();
    if (connection === undefined) return this.#hangUp();
    await new Promise<void>((resolve) => {
      this.#closed = resolve;
      this.#options.thread.clock.schedule(deadlineMs, resolve);
      this.#send(connection, 0, { type: 'closeSession' });
    });
    this.#hangUp();
  }

  // ------------------------------------------------------------------ session

  #newSession(): Session {
    const watchers = { data: new Map(), exist: new Map(), child: new Map() };
    const liveness = new SessionLiveness(this.#options.thread.clock);
    return { sessionId: 0n, timeoutMs: this.#options.sessionTimeoutMs, lastZxid: 0n, liveness, watchers };
  }

  #startSession(): void {
    this.#epoch += 1;
    this.#session = this.#newSession();
    this.#become({ kind: 'CONNECTING' });
    this.#connect();
    this.#watch();
  }

  #connect(): void {
    const { ensemble, wire, thread, process } = this.#options;
    const { sessionId, lastZxid, timeoutMs, liveness } = this.#session;
    const sent = liveness.now();
    const connection: Connection = {
      stream: wire.open(),
      process,
      open: false,
      sessionId: 0n,
      receive: (packet) => thread.deliver(() => this.#receive(connection, packet, sent)),
    };
    this.#connection = connection;
    this.#lastHeardMs = this.#lastSentMs = thread.clock.monotonicMs();
    const request = {
      protocolVersion: 0,
      lastZxidSeen: lastZxid,
      timeOut: timeoutMs,
      sessionId,
      passwd: sessionId === 0n ? null : PASSWORD,
    };
    connection.stream.send('TO_SERVER', () => ensemble.handshake(connection, request));
  }

  #receive(connection: Connection, packet: Packet, connectSent: Instant): void {
    if (connection !== this.#connection) return;
    this.#lastHeardMs = this.#options.thread.clock.monotonicMs();
    switch (packet.type) {
      case 'closed':
        return this.#disconnected();
      case 'connected':
        if (packet.response.timeOut === 0) return this.#lose();
        return this.#connected(connection, packet.response, connectSent);
      case 'event':
        return this.#fire(packet.event);
      case 'reply': {
        const pending = this.#pending.get(packet.xid);
        this.#pending.delete(packet.xid);
        if (packet.reply.zxid > this.#session.lastZxid) this.#session.lastZxid = packet.reply.zxid;
        if (pending !== undefined) {
          this.#session.liveness.acknowledged(pending.sent);
          pending.settle(packet.reply);
        } else this.#closed?.();
      }
    }
  }

  #connected(
    connection: Connection,
    { sessionId, timeOut }: { sessionId: bigint; timeOut: number },
    sent: Instant,
  ): void {
    const session = this.#session;
    session.sessionId = sessionId;
    session.timeoutMs = timeOut;
    session.liveness.acknowledged(sent);
    this.#attempts = 0;
    const paths = (kind: WatchKind) => [...session.watchers[kind].keys()];
    const [dataWatches, existWatches, childWatches] = [paths('data'), paths('exist'), paths('child')];
    if (dataWatches.length + existWatches.length + childWatches.length > 0) {
      const relativeZxid = session.lastZxid;
      this.#request({ type: 'setWatches', relativeZxid, dataWatches, existWatches, childWatches }).catch(
        () => {},
      );
    }
    if (this.#connection === connection)
      this.#become({ kind: 'CONNECTED', epoch: this.#epoch, sessionId, sessionTimeoutMs: timeOut });
  }

  /** The connection is gone; the session may live. Tries again after a backoff. */
  #disconnected(): void {
    this.#hangUp();
    if (this.#state.kind === 'CLOSED') return;
    this.#next?.cancel();
    const { thread, random } = this.#options;
    this.#next = thread.clock.schedule(10 + backoffMs(this.#attempts++, random, RECONNECT), () =>
      this.#connect(),
    );
    const wasConnected = this.#state.kind === 'CONNECTED';
    if (wasConnected) this.#become({ kind: 'SUSPENDED' });
    this.#loseAll();
  }

  /** The session is over. */
  #lose(): void {
    this.#hangUp();
    if (this.#state.kind === 'CLOSED') return;
    const { thread, random } = this.#options;
    this.#next?.cancel();
    this.#watchdog?.cancel();
    this.#next = thread.clock.schedule(backoffMs(this.#lostSessions++, random, NEXT_SESSION), () =>
      this.#startSession(),
    );
    this.#become({ kind: 'LOST' });
    this.#loseAll();
  }

  #hangUp(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection !== undefined)
      connection.stream.send('TO_SERVER', () => this.#options.ensemble.hangUp(connection));
  }

  #watch(): void {
    const { clock } = this.#options.thread;
    const { timeoutMs, liveness } = this.#session;
    this.#watchdog = clock.schedule(timeoutMs / 8, () => {
      const nowMs = clock.monotonicMs();
      if (liveness.lost(timeoutMs)) return this.#lose();
      if (this.#connection !== undefined && nowMs - this.#lastHeardMs > (timeoutMs * 2) / 3)
        this.#disconnected();
      else if (this.#state.kind === 'CONNECTED' && nowMs - this.#lastSentMs > timeoutMs / 3 - timeoutMs / 8)
        this.#request({ type: 'ping' }).catch(() => {});
      this.#watch();
    });
  }

  #become(state: ConnectionState): void {
    this.#state = state;
    if (state.kind === 'CONNECTED') this.#lostSessions = 0;
    for (const listener of [...this.#listeners]) listener(state);
  }

  // ------------------------------------------------------------------ requests

  async #call(operation: string, request: Request, watcher?: Watcher): Promise<ReplyBody> {
    const path = 'path' in request ? request.path : undefined;
    if (this.#state.kind !== 'CONNECTED') {
      const code = this.#state.kind === 'CLOSED' ? 'SESSION_EXPIRED' : 'CONNECTION_LOSS';
      throw new ZooKeeperError(code, operation, path);
    }
    const { err, body } = await this.#request(request, watcher);
    if (err === ErrorCode.OK || (request.type === 'exists' && err === ErrorCode.NO_NODE)) return body;
    throw errorOfCode(err, operation, path);
  }

  #request(request: Request, watcher?: Watcher): Promise<Reply> {
    const connection = this.#connection;
    const session = this.#session;
    const sent = session.liveness.now();
    return new Promise((resolve, reject) => {
      const lose = () => reject(new ZooKeeperError('CONNECTION_LOSS', request.type));
      if (connection === undefined) return lose();
      const settle = (reply: Reply) => {
        if (watcher !== undefined) register(session, request, reply, watcher);
        resolve(reply);
      };
      this.#xid += 1;
      this.#pending.set(this.#xid, { sent, settle, lose });
      this.#send(connection, this.#xid, request);
    });
  }

  #send(connection: Connection, xid: number, request: Request): void {
    this.#lastSentMs = this.#options.thread.clock.monotonicMs();
    connection.stream.send('TO_SERVER', () => this.#options.ensemble.request(connection, xid, request));
  }

  #loseAll(): void {
    const pending = this.#pending;
    this.#pending = new Map();
    for (const { lose } of pending.values()) lose();
  }

  #fire({ type, path }: WatchEvent): void {
    const { data, exist, child } = this.#session.watchers;
    const kinds =
      type === 'NODE_CHILDREN_CHANGED'
        ? [child]
        : type === 'NODE_DELETED'
          ? [data, exist, child]
          : [data, exist];
    const hit = new Set<Watcher>();
    for (const kind of kinds) {
      for (const watcher of kind.get(path) ?? []) hit.add(watcher);
      kind.delete(path);
    }
    for (const watcher of hit) watcher({ type, path });
  }
}

/** As the client does: a read that found its znode watches it, an `exists` that found none waits for it. */
function register(session: Session, request: Request, { err }: Reply, watcher: Watcher): void {
  if (!('path' in request)) return;
  let kind: WatchKind;
  if (err === ErrorCode.OK) kind = request.type === 'getChildren2' ? 'child' : 'data';
  else if (err === ErrorCode.NO_NODE && request.type === 'exists') kind = 'exist';
  else return;
  const of = session.watchers[kind];
  const { path } = request;
  const watchers = of.get(path);
  if (watchers === undefined) of.set(path, new Set([watcher]));
  else watchers.add(watcher);
}
