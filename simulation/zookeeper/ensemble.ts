import { StateMachine } from '../../libs/embedded/zookeeper/state-machine.ts';
import type { Outcome } from '../../libs/embedded/zookeeper/state-machine.ts';
import type {
  ConnectRequest,
  ConnectResponse,
  Reply,
  Request,
  WatchEvent,
} from '../../libs/embedded/zookeeper/protocol.ts';
import type { Change, Transaction } from '../../libs/embedded/zookeeper/transaction.ts';
import type { Random } from '../../libs/core/random.ts';
import { EPOCH_MS } from '../thread.ts';
import type { Stream } from '../wire.ts';
import type { World } from '../world.ts';

export type Packet =
  | { readonly type: 'connected'; readonly response: ConnectResponse }
  | { readonly type: 'reply'; readonly xid: number; readonly reply: Reply }
  | { readonly type: 'event'; readonly event: WatchEvent }
  | { readonly type: 'closed' };

/** A TCP connection of a client, as both of its ends see it. */
export interface Connection {
  readonly stream: Stream;
  /** The process it belongs to, for those who tell stories of it. */
  readonly process: string;
  readonly receive: (packet: Packet) => void;
  /** The server's end. */
  open: boolean;
  sessionId: bigint;
}

/** What was committed, and by which process' session; `undefined` where a session ended by itself. */
export type CommitListener = (by: string | undefined, changes: readonly Change[], sessionId: bigint) => void;

/**
 * ZooKeeper without its sockets: the embedded server's state machine behind virtual connections. One server
 * stands for the ensemble; that its leader changes looks from outside as if it restarted.
 *
 * ```
 * UP ⇄ DOWN       down: connections close, sessions live on; up again: each has its whole timeout
 * ```
 */
export class Ensemble {
  readonly #world: World;
  readonly #random: Random;
  readonly #tickTimeMs: number;
  #machine: StateMachine;
  #up = true;
  readonly #connections = new Map<bigint, Connection>();
  readonly #lostReplies: { process: string; type: Request['type'] | 'any' }[] = [];
  /** Until when the watch events of a process are lost. */
  readonly #eventsLostUntilMs = new Map<string, number>();
  readonly #onCommit: CommitListener;
  readonly #znodes = new Map<string, Buffer>();

  constructor(world: World, options: { tickTimeMs: number; onCommit: CommitListener }) {
    this.#world = world;
    this.#random = world.random('ensemble');
    this.#tickTimeMs = options.tickTimeMs;
    this.#onCommit = options.onCommit;
    this.#machine = this.#emptyMachine();
    this.#tick();
  }

  get up(): boolean {
    return this.#up;
  }

  /** The data of every znode, for those who check. */
  get znodes(): ReadonlyMap<string, Buffer> {
    return this.#znodes;
  }

  // ------------------------------------------------------------------ faults

  /** A new leader is elected, or the servers are away for a while. */
  goDown(forMs: number): void {
    if (!this.#up) return;
    this.#up = false;
    for (const connection of [...this.#connections.values()]) this.#close(connection);
    this.#world.schedule(forMs, () => {
      this.#up = true;
      this.#machine.restartTimeouts(this.#now());
    });
  }

  /** All data, sessions and zxids are gone. */
  wipe(): void {
    for (const connection of [...this.#connections.values()]) this.#close(connection);
    this.#machine = this.#emptyMachine();
    this.#znodes.clear();
  }

  expireSessionOf(process: string): void {
    for (const [sessionId, connection] of [...this.#connections]) {
      if (connection.process === process)
        this.#follow(this.#machine.close(sessionId, this.#now()), undefined, sessionId);
    }
  }

  /** The connection of `process` is reset; its session lives on. */
  cut(process: string): void {
    for (const connection of [...this.#connections.values()])
      if (connection.process === process) this.#close(connection);
  }

  /** The next request of `process` of that type is carried out, and its connection cut in place of the reply. */
  loseReply(process: string, type: Request['type'] | 'any'): void {
    this.#lostReplies.push({ process, type });
  }

  /** Watches of `process` that fire within so long tell nobody. */
  loseEvents(process: string, ms: number): void {
    this.#eventsLostUntilMs.set(process, this.#world.nowMs + ms);
  }

  /** What was to be lost will not be. */
  heal(): void {
    this.#lostReplies.length = 0;
    this.#eventsLostUntilMs.clear();
  }

  // ------------------------------------------------------------------ clients

  handshake(connection: Connection, request: ConnectRequest): void {
    if (!this.#up) return this.#send(connection, { type: 'closed' });
    const fresh = {
      sessionId: BigInt(1 + Math.floor(this.#random.next() * 2 ** 48)),
      password: Buffer.alloc(16, 1),
    };
    const outcome = this.#machine.connect(request, fresh, this.#now());
    // A client that is ahead of us is hung up on without a word.
    if (outcome.type === 'AHEAD') return this.#send(connection, { type: 'closed' });
    if (outcome.type === 'EXPIRED') {
      this.#send(connection, { type: 'connected', response: outcome.response });
      return this.#send(connection, { type: 'closed' });
    }
    const { sessionId } = outcome.response;
    const before = this.#connections.get(sessionId);
    if (before !== undefined) this.#close(before, { keepSession: true });
    connection.open = true;
    connection.sessionId = sessionId;
    this.#connections.set(sessionId, connection);
    this.#send(connection, { type: 'connected', response: outcome.response });
  }

  request(connection: Connection, xid: number, request: Request): void {
    if (!connection.open) return;
    const { sessionId, process } = connection;
    const outcome = this.#machine.request(sessionId, request, this.#now());
    const lost = this.#lostReplies.findIndex(
      (each) => each.process === process && (each.type === 'any' || each.type === request.type),
    );
    if (lost >= 0) {
      this.#lostReplies.splice(lost, 1);
      this.#world.count(`replies of ZooKeeper lost to a ${request.type}`);
      this.#close(connection);
    }
    this.#follow(outcome, { connection, xid }, sessionId);
  }

  /** The client's end has been closed. */
  hangUp(connection: Connection): void {
    if (connection.open) this.#close(connection);
  }

  // ------------------------------------------------------------------ within

  #follow(
    outcome: Outcome,
    asker: { connection: Connection; xid: number } | undefined,
    sessionId: bigint,
  ): void {
    const by = asker?.connection.process;
    this.#committed(outcome.transactions, by, sessionId);
    for (const { sessionId: watcher, event } of outcome.notifications) {
      const connection = this.#connections.get(watcher);
      if (connection === undefined) continue;
      if ((this.#eventsLostUntilMs.get(connection.process) ?? 0) > this.#world.nowMs)
        this.#world.count('watch events lost');
      else this.#send(connection, { type: 'event', event });
    }
    if (asker?.connection.open && outcome.reply !== undefined) {
      this.#send(asker.connection, { type: 'reply', xid: asker.xid, reply: outcome.reply });
      if (outcome.disconnect) this.#close(asker.connection);
    }
    for (const ended of outcome.ended) {
      const connection = this.#connections.get(ended);
      if (connection !== undefined) this.#close(connection);
    }
  }

  #committed(transactions: readonly Transaction[], by: string | undefined, sessionId: bigint): void {
    for (const { changes } of transactions) {
      if (changes.length === 0) continue;
      for (const change of changes) {
        if (change.type === 'create' || change.type === 'setData')
          this.#znodes.set(change.path, change.data ?? Buffer.alloc(0));
        else if (change.type === 'delete') this.#znodes.delete(change.path);
      }
      this.#onCommit(by, changes, sessionId);
    }
  }

  #send(connection: Connection, packet: Packet): void {
    // A watcher is called after the continuation of the read that set it.
    const alone = packet.type !== 'reply';
    connection.stream.send('TO_CLIENT', () => connection.receive(packet), { alone });
  }

  #close(connection: Connection, { keepSession = false } = {}): void {
    connection.open = false;
    if (this.#connections.get(connection.sessionId) === connection)
      this.#connections.delete(connection.sessionId);
    if (!keepSession) this.#machine.disconnect(connection.sessionId);
    this.#send(connection, { type: 'closed' });
  }

  #tick(): void {
    this.#world.schedule(this.#tickTimeMs, () => {
      if (this.#up) this.#follow(this.#machine.expire(this.#now()), undefined, 0n);
      this.#tick();
    });
  }

  #emptyMachine(): StateMachine {
    return new StateMachine({ tickTimeMs: this.#tickTimeMs, startMs: this.#world.nowMs });
  }

  #now(): { monotonicMs: number; wallMs: number } {
    return { monotonicMs: this.#world.nowMs, wallMs: EPOCH_MS + this.#world.nowMs };
  }
}
