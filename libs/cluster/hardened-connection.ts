import { connect as connectSocket } from 'node:net';
import ConnectionManager from 'node-zookeeper-client/lib/ConnectionManager.js';
import type { Server } from 'node-zookeeper-client/lib/ConnectionManager.js';
import jute from 'node-zookeeper-client/lib/jute/index.js';
import type { Payload, Request } from 'node-zookeeper-client/lib/jute/index.js';
import { backoffMs } from '../core/backoff.ts';
import type { Clock, Timer } from '../core/clock.ts';
import type { Random } from '../core/random.ts';
import { FrameSplitter } from './frames.ts';
import { SessionLiveness } from './session-liveness.ts';
import type { Instant } from './session-liveness.ts';
import { setWatchesRequests } from './set-watches.ts';

const { STATES } = ConnectionManager;
const { OP_CODES } = jute;

/** Where a frame holds the transaction id it answers, and where a connect response holds the timeout granted. */
const XID_OFFSET = 4;
const GRANTED_TIMEOUT_OFFSET = 8;
const MAX_XID = 0x7fff_ff00;
const MIN_HANDSHAKE_MS = 500;
const RECONNECT_BACKOFF = { baseMs: 50, maxMs: 1_000 };
/** The watchdog looks this many times a session timeout. */
const TICKS_PER_TIMEOUT = 20;
const MIN_TICK_MS = 20;

export interface HardenedConnectionOptions {
  readonly connectString: string;
  /** As asked for; the server may grant another. */
  readonly sessionTimeoutMs: number;
  readonly clock: Clock;
  readonly random: Random;
  /** The package's `ConnectionManager.STATES`. Must not throw. */
  readonly onState: (state: number) => void;
  /** No acknowledged request for a whole session timeout: the server may have expired the session. */
  readonly onSilence: () => void;
  readonly onSocketError: (error: Error) => void;
}

/**
 * The package's connection manager with its faults mended; it keeps the package's states and its requests.
 *
 * ```
 * DISCONNECTED → CONNECTING → CONNECTED → (socket closed) DISCONNECTED → CONNECTING …
 * CONNECTING → SESSION_EXPIRED → CLOSED     CONNECTED → AUTHENTICATION_FAILED → CLOSED
 * CONNECTED → CLOSING → CLOSED              any → destroyed: no event, no timer, no socket afterwards
 * ```
 * What differs:
 * - one timer over TCP connect *and* handshake, so a server that accepts and stays silent is left;
 * - a watchdog pings after T/3 without *sending* and cuts the connection after 2T/3 without *receiving*;
 * - each connection starts with an empty frame buffer and transaction id 1;
 * - AUTH and SetWatches, in packets the server accepts, go ahead of everything else;
 * - nothing queued outlives the connection it was queued on.
 */
export class HardenedConnection extends ConnectionManager {
  readonly liveness: SessionLiveness;
  readonly #options: HardenedConnectionOptions;
  readonly #clock: Clock;
  #destroyed = false;
  #frames = new FrameSplitter();
  #nextServer: Timer | undefined;
  #handshakeTimer: Timer | undefined;
  #handshakeSent: Instant | undefined;
  #watchdog: Timer | undefined;
  #lastTickMs = 0;
  #lastSentMs = 0;
  #lastReceivedMs = 0;
  /** When the pings not yet answered were sent. Answers come in order. */
  #pings: Instant[] = [];
  /** Since when watches may have missed something: kept until every SetWatches of a reconnect is answered. */
  #watchesSinceZxid: Buffer | undefined;

  constructor(options: HardenedConnectionOptions) {
    super(
      options.connectString,
      { sessionTimeout: options.sessionTimeoutMs, spinDelay: RECONNECT_BACKOFF.maxMs },
      options.onState,
    );
    this.#options = options;
    this.#clock = options.clock;
    this.liveness = new SessionLiveness(options.clock);
  }

  override connect(): void {
    if (this.#destroyed) return;
    this.setState(STATES.CONNECTING);
    this.findNextServer((server) => this.#open(server));
  }

  /** Every server once without delay; between rounds, exponential backoff with jitter. */
  override findNextServer(callback: (server: Server) => void): void {
    const rounds = Math.floor(this.serverAttempts / this.servers.length);
    const roundBegins = this.serverAttempts % this.servers.length === 0;
    const delayMs = rounds > 0 && roundBegins ? this.#backoffMs(rounds - 1) : 0;
    this.serverAttempts += 1;
    this.#nextServer = this.#clock.schedule(delayMs, () => {
      const server = this.servers[this.nextServerIndex % this.servers.length];
      this.nextServerIndex = (this.nextServerIndex + 1) % this.servers.length;
      if (server !== undefined) callback(server);
    });
  }

  override onSocketConnected(): void {
    this.#handshakeSent = this.liveness.now();
    const { zxid, sessionTimeout, sessionId, sessionPassword } = this;
    const handshake = new jute.protocol.ConnectRequest(
      jute.PROTOCOL_VERSION,
      zxid,
      sessionTimeout,
      sessionId,
      sessionPassword,
    );
    this.socket?.write(new jute.Request(null, handshake).toBuffer());
    // Queued now, sent once the handshake is answered. The queue is empty: nothing is accepted before that.
    for (const { scheme, auth } of this.credentials) {
      this.queue(
        request(OP_CODES.AUTH, new jute.protocol.AuthPacket(0, scheme, auth), jute.XID_AUTHENTICATION),
      );
    }
    this.#queueSetWatches();
  }

  override onSocketData(chunk: Buffer): void {
    this.#lastReceivedMs = this.#clock.monotonicMs();
    // After a long pause of this process, data is read before any timer runs: ask here too.
    if (this.#isSilent()) return;
    try {
      for (const frame of this.#frames.push(chunk)) {
        if (this.#destroyed || this.socket?.destroyed) return;
        this.#receive(frame);
      }
    } catch (error) {
      // A frame that cannot be read: the stream is out of step, only a new connection helps.
      this.socket?.destroy(error as Error);
    }
  }

  override onSocketClosed(): void {
    this.#handshakeTimer?.cancel();
    this.#pings = [];
    this.packetQueue.queue = [];
    if (!this.#destroyed) super.onSocketClosed(false);
  }

  /** The package pings when the socket was idle, which data received prevents too: the watchdog pings instead. */
  override onSocketTimeout(): void {
    // nothing
  }

  override onPacketQueueReadable(): void {
    const queued = this.packetQueue.queue.length;
    if (this.xid > MAX_XID) this.xid = 1;
    super.onPacketQueueReadable();
    if (this.packetQueue.queue.length < queued) this.#lastSentMs = this.#clock.monotonicMs();
  }

  /** Asks the server to end the session; the connection closes when it has. Only while CONNECTED. */
  override close(): void {
    this.setState(STATES.CLOSING);
    this.queue(request(OP_CODES.CLOSE_SESSION, null), () => this.socket?.destroy());
  }

  /** Lets go of socket and timers at once and silently. The server keeps the session until it expires. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.removeAllListeners('state');
    this.setState(STATES.CLOSED);
    this.#nextServer?.cancel();
    this.#handshakeTimer?.cancel();
    this.#watchdog?.cancel();
    this.socket?.destroy();
    this.packetQueue.queue = [];
    this.pendingQueue = [];
  }

  #open(server: Server): void {
    const socket = connectSocket(server);
    this.socket = socket;
    this.xid = 1;
    this.#frames = new FrameSplitter();
    this.#handshakeTimer = this.#clock.schedule(Math.max(MIN_HANDSHAKE_MS, this.connectTimeout), () =>
      socket.destroy(new Error(`no answer from ${server.host}:${server.port}`)),
    );
    socket.setNoDelay();
    // A new socket is opened only after the one before has closed, so none of these can be a stale one's.
    socket.on('connect', () => this.onSocketConnected());
    socket.on('data', (chunk) => this.onSocketData(chunk));
    socket.on('drain', () => this.onSocketDrain());
    socket.on('close', () => this.onSocketClosed());
    socket.on('error', (error) => this.#options.onSocketError(error));
  }

  #receive(frame: Buffer): void {
    if (this.state === STATES.CONNECTING) {
      const granted = frame.readInt32BE(GRANTED_TIMEOUT_OFFSET) > 0;
      if (granted && this.#handshakeSent !== undefined) this.liveness.acknowledged(this.#handshakeSent);
      this.#handshakeTimer?.cancel();
      this.#lastSentMs = this.#clock.monotonicMs();
      super.onSocketData(frame);
      if (granted) this.#startWatchdog();
      else this.socket?.destroy();
    } else if (frame.readInt32BE(XID_OFFSET) === jute.XID_PING) {
      const sent = this.#pings.shift();
      if (sent !== undefined) this.liveness.acknowledged(sent);
    } else {
      super.onSocketData(frame);
    }
  }

  #queueSetWatches(): void {
    const since = (this.#watchesSinceZxid ??= this.zxid);
    const requests = setWatchesRequests(this.watcherManager, since);
    let unanswered = requests.length;
    if (unanswered === 0) this.#watchesSinceZxid = undefined;
    for (const setWatches of requests) {
      this.queue(request(OP_CODES.SET_WATCHES, setWatches), (error) => {
        if (error === null && --unanswered === 0) this.#watchesSinceZxid = undefined;
      });
    }
  }

  #startWatchdog(): void {
    if (this.#destroyed || this.#watchdog !== undefined) return;
    this.#lastTickMs = this.#clock.monotonicMs();
    const rearm = () => {
      this.#watchdog = this.#clock.schedule(this.#tickMs(), () => {
        this.#tick();
        if (!this.#destroyed) rearm();
      });
    };
    rearm();
  }

  #tick(): void {
    const now = this.#clock.monotonicMs();
    const lateMs = now - this.#lastTickMs - this.#tickMs();
    this.#lastTickMs = now;
    if (this.#isSilent() || this.state !== STATES.CONNECTED) return;
    const timeoutMs = this.sessionTimeout;
    // Where this loop itself was late, what the server sent may still wait to be read: judge at the next tick.
    const judgeable = lateMs < timeoutMs / 6;
    if (judgeable && now - this.#lastReceivedMs > (timeoutMs * 2) / 3) {
      this.socket?.destroy(new Error(`nothing received for ${Math.round(now - this.#lastReceivedMs)} ms`));
    } else if (now - this.#lastSentMs >= timeoutMs / 3 - this.#tickMs()) {
      this.#pings.push(this.liveness.now());
      this.queue(request(OP_CODES.PING, null, jute.XID_PING));
    }
  }

  #isSilent(): boolean {
    if (this.#destroyed) return true;
    const silent = this.liveness.lost(this.sessionTimeout);
    if (silent) this.#options.onSilence();
    return silent;
  }

  #tickMs(): number {
    return Math.max(MIN_TICK_MS, Math.floor(this.sessionTimeout / TICKS_PER_TIMEOUT));
  }

  #backoffMs(round: number): number {
    const maxMs = Math.min(RECONNECT_BACKOFF.maxMs, this.sessionTimeout / 4);
    return backoffMs(round, this.#options.random, { ...RECONNECT_BACKOFF, maxMs });
  }
}

/** `xid` 0 where the connection numbers the request itself. */
export function request(type: number, payload: Payload | null, xid = 0): Request {
  return new jute.Request(new jute.protocol.RequestHeader(xid, type), payload);
}
