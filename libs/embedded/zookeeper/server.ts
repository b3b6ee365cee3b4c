import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { Clock, Timer } from '../../core/clock.ts';
import type { Random } from '../../core/random.ts';
import { Connection } from './connection.ts';
import type { Instant } from './database.ts';
import { ZooKeeperServerError, systemErrorCode } from './errors.ts';
import type { Faults } from './faults.ts';
import { FaultControls } from './faults.ts';
import { answerFourLetterWord } from './four-letter-words.ts';
import { JuteError, Reader, UnknownTagError, decode, int } from './jute.ts';
import { Persistence } from './persistence.ts';
import { ConnectRequest, ConnectResponse, Request, encodeEvent, encodeReply, frame } from './protocol.ts';
import type { Outcome } from './state-machine.ts';
import { StateMachine } from './state-machine.ts';

export interface ZooKeeperServerOptions {
  /** 0 for any free one. */
  readonly port: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** ZooKeeper's tickTime: session timeouts are negotiated within 2 to 20 of them, and expire in whole ones. */
  readonly tickTimeMs: number;
  /** Where the state is kept; without one it is gone with the server. */
  readonly dataDir?: string;
  /**
   * What becomes of the sessions found in `dataDir`. `keep`, the default and ZooKeeper's way: each has its
   * whole timeout to come back. `expire`: for a server whose clients are all known to have ended with it.
   */
  readonly sessionsOnOpen?: 'keep' | 'expire';
  readonly clock: Clock;
  readonly random: Random;
}

export interface ZooKeeperServer {
  readonly port: number;
  /** As clients want it: host:port. */
  readonly connectString: string;
  /** What tests can make go wrong. */
  readonly faults: Faults;
  /** Cuts all connections, lets go of port and directory. Idempotent. */
  close(): Promise<void>;
}

/** New session ids count up from the wall clock, shifted so that those of two runs do not meet; 56 bits. */
const SESSION_ID_CLOCK_SHIFT = 20n;
const SESSION_ID_BITS = 56;
const PASSWORD_BYTES = 16;
/** A connection has this long for its handshake, in ticks: as long as the longest session. */
const HANDSHAKE_TICKS = 20;

/**
 * Starts a single-node ZooKeeper. It is a fault of the process where its disk fails later on: a server that
 * cannot log must not answer.
 * @throws ZooKeeperServerError
 */
export async function startZooKeeperServer(options: ZooKeeperServerOptions): Promise<ZooKeeperServer> {
  const server = new SocketServer(options);
  await server.listen();
  return server;
}

/** Carries packets between sockets and the state machine, and its transactions to the log. */
class SocketServer implements ZooKeeperServer {
  readonly faults: FaultControls;
  private readonly options: ZooKeeperServerOptions;
  private readonly listener = createServer((socket) => this.accept(socket));
  private readonly connections = new Set<Connection>();
  /** The one connection of each attached session. */
  private readonly bySession = new Map<bigint, Connection>();
  private readonly persistence: Persistence | undefined;
  private machine: StateMachine;
  private lastSessionId: bigint;
  private received = 0;
  private ticker: Timer | undefined;
  private closing: Promise<void> | undefined;

  constructor(options: ZooKeeperServerOptions) {
    this.options = options;
    const { dataDir, tickTimeMs, clock, random, sessionsOnOpen = 'keep' } = options;
    const start = { tickTimeMs, startMs: clock.monotonicMs() };
    const opened = dataDir === undefined ? undefined : Persistence.open({ directory: dataDir, ...start });
    this.persistence = opened?.persistence;
    this.machine = opened?.machine ?? new StateMachine(start);
    this.lastSessionId = BigInt(clock.wallMs()) << SESSION_ID_CLOCK_SHIFT;
    this.lastSessionId += BigInt(Math.floor(random.next() * 2 ** Number(SESSION_ID_CLOCK_SHIFT)));
    this.faults = new FaultControls({
      connections: () => this.connections,
      sessions: () => this.machine.sessions(),
      closeSession: (id) => this.carryOut(this.machine.close(id, this.now())),
      restartTimeouts: () => this.machine.restartTimeouts(this.now()),
      wipe: () => this.wipe(),
    });
    if (sessionsOnOpen === 'expire') {
      for (const { sessionId } of this.machine.sessions()) this.faults.expireSession(sessionId);
    }
  }

  get port(): number {
    return (this.listener.address() as AddressInfo).port;
  }

  get connectString(): string {
    return `${this.options.host ?? '127.0.0.1'}:${this.port}`;
  }

  async listen(): Promise<void> {
    const { port, host = '127.0.0.1' } = this.options;
    try {
      await new Promise<void>((resolve, reject) => {
        this.listener.once('error', reject).listen(port, host, resolve);
      });
    } catch (error) {
      this.persistence?.close();
      const code = systemErrorCode(error);
      const why = code === 'EADDRINUSE' ? 'the port is in use' : code;
      throw new ZooKeeperServerError('CANNOT_LISTEN', `cannot listen on ${host}:${port}: ${why}`, error);
    }
    this.scheduleTick();
  }

  close(): Promise<void> {
    this.closing ??= new Promise((resolve) => {
      this.ticker?.cancel();
      this.listener.close(() => {
        this.persistence?.close();
        resolve();
      });
      for (const connection of this.connections) connection.destroy();
    });
    return this.closing;
  }

  private now(): Instant {
    const { clock } = this.options;
    return { monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() };
  }

  private scheduleTick(): void {
    const { clock, tickTimeMs } = this.options;
    const untilNextMs = tickTimeMs - (clock.monotonicMs() % tickTimeMs);
    this.ticker = clock.schedule(untilNextMs, () => {
      // One turn later: what arrived while this process was busy or stopped is heard before anyone is expired.
      this.ticker = clock.schedule(0, () => {
        this.tick();
        this.scheduleTick();
      });
    });
  }

  private tick(): void {
    if (this.faults.timeStands) return;
    this.carryOut(this.machine.expire(this.now()));
    const openedBeforeMs = this.options.clock.monotonicMs() - HANDSHAKE_TICKS * this.options.tickTimeMs;
    for (const connection of this.connections) {
      if (connection.sessionId === undefined && connection.openedMs < openedBeforeMs) connection.finish();
    }
  }

  private accept(socket: Socket): void {
    const connection = new Connection({
      socket,
      clock: this.options.clock,
      onPacket: (packet, from) => this.receive(packet, from),
      answerWord: (word) => this.answer(word),
      onClose: (closed) => this.forget(closed),
    });
    this.connections.add(connection);
    this.faults.applyTo(connection);
  }

  private answer(word: string): string | undefined {
    const traffic = { connections: this.connections.size, received: this.received + 1 };
    const answer = answerFourLetterWord(word, this.machine, traffic);
    if (answer !== undefined) this.received++;
    return answer;
  }

  private forget(connection: Connection): void {
    this.connections.delete(connection);
    const { sessionId } = connection;
    if (sessionId === undefined || this.bySession.get(sessionId) !== connection) return;
    this.bySession.delete(sessionId);
    this.machine.disconnect(sessionId);
  }

  private receive(packet: Buffer, connection: Connection): void {
    const { sessionId } = connection;
    this.received++;
    try {
      if (sessionId === undefined) this.handshake(decode(ConnectRequest, packet), connection);
      else this.serve(packet, sessionId, connection);
    } catch (error) {
      if (!(error instanceof JuteError)) throw error;
      connection.destroy();
    }
  }

  private handshake(request: ConnectRequest, connection: Connection): void {
    const fresh = { sessionId: this.nextSessionId(), password: this.newPassword() };
    const outcome = this.machine.connect(request, fresh, this.now());
    if (outcome.type === 'AHEAD') {
      connection.destroy();
      return;
    }
    const { response, transactions } = outcome;
    this.carryOut({ transactions, notifications: [], ended: [] });
    this.bySession.get(request.sessionId)?.destroy();
    if (outcome.type === 'ESTABLISHED') {
      this.bySession.set(response.sessionId, connection);
      connection.sessionId = response.sessionId;
    }
    connection.send(frame((writer) => ConnectResponse.write(writer, response)));
    if (outcome.type === 'EXPIRED') connection.finish();
  }

  private serve(packet: Buffer, sessionId: bigint, connection: Connection): void {
    const reader = new Reader(packet);
    const xid = int.read(reader);
    let request: Request;
    try {
      request = Request.read(reader);
    } catch (error) {
      if (!(error instanceof JuteError)) throw error;
      const reason = error instanceof UnknownTagError ? 'UNIMPLEMENTED' : 'MARSHALLING_ERROR';
      this.carryOut(this.machine.refuse(reason), { xid, connection });
      return;
    }
    const outcome = this.machine.request(sessionId, request, this.now());
    if (this.faults.losesReply(request, sessionId)) connection.destroy();
    this.carryOut(outcome, { xid, connection });
  }

  /** In the order that {@link Outcome} asks for. */
  private carryOut(outcome: Outcome, asked?: { xid: number; connection: Connection }): void {
    for (const transaction of outcome.transactions) this.persistence?.append(transaction);
    if (this.persistence?.isLogLarge) this.persistence.fold(this.machine.snapshot());
    for (const { sessionId, event } of outcome.notifications) {
      if (!this.faults.losesEvents) this.bySession.get(sessionId)?.send(encodeEvent(event));
    }
    if (outcome.reply !== undefined) asked?.connection.send(encodeReply(asked.xid, outcome.reply));
    if (outcome.disconnect === true) asked?.connection.finish();
    for (const sessionId of outcome.ended) this.bySession.get(sessionId)?.finish();
  }

  private wipe(): void {
    const { tickTimeMs, clock } = this.options;
    this.machine = new StateMachine({ tickTimeMs, startMs: clock.monotonicMs() });
    this.persistence?.fold(this.machine.snapshot());
    for (const connection of this.connections) connection.destroy();
  }

  private nextSessionId(): bigint {
    do this.lastSessionId = BigInt.asUintN(SESSION_ID_BITS, this.lastSessionId + 1n);
    while (this.lastSessionId === 0n || this.machine.hasSession(this.lastSessionId));
    return this.lastSessionId;
  }

  private newPassword(): Buffer {
    const { random } = this.options;
    return Buffer.from(Array.from({ length: PASSWORD_BYTES }, () => Math.floor(random.next() * 256)));
  }
}
