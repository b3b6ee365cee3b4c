import type { Connection } from './connection.ts';
import type { Request } from './protocol.ts';
import type { Session } from './sessions.ts';

export type RequestMatch = (request: Request, sessionId: bigint) => boolean;

/** What can go wrong with a server and the network before it, at the call of a test. */
export interface Faults {
  /** The sessions there are, to name one of them to the others. */
  sessions(): readonly Session[];
  /** Cuts the connection of one session, or all connections. The sessions live on. */
  dropConnections(sessionId?: bigint): void;
  /** Ends a session as if its time were up; no effect on one that has ended. */
  expireSession(sessionId: bigint): void;
  /**
   * Until {@link thaw}, nothing is read or written; connections stay open and new ones are left unanswered. As
   * if the server's process were stopped: no session expires, and on thawing each has its whole timeout again.
   * With `expireSessions`, as if the network swallowed every packet: time goes on, and sessions expire.
   */
  freeze(options?: { readonly expireSessions?: boolean }): void;
  thaw(): void;
  /** Everything sent from now on waits this long, in milliseconds, its order kept. 0 ends it. */
  delayReplies(delayMs: number): void;
  /** While true, new connections are closed as soon as they are made. Those there are stay. */
  refuseConnections(refuse: boolean): void;
  /** While true, no event of a watch is sent; the watch is spent all the same. */
  dropWatchEvents(drop: boolean): void;
  /**
   * The next request that matches is carried out, but its connection is cut in place of the reply.
   * @returns resolves when that has happened
   */
  dropNextReply(match: RequestMatch): Promise<void>;
  /** All data, sessions and zxids are gone, as if another, empty server had taken the address. */
  wipe(): void;
}

/** What the fault controls may do to the server. */
export interface FaultTarget {
  connections(): Iterable<Connection>;
  sessions(): readonly Session[];
  closeSession(sessionId: bigint): void;
  restartTimeouts(): void;
  wipe(): void;
}

/** The faults now in force. The server asks at each point where one can strike. */
export class FaultControls implements Faults {
  private readonly target: FaultTarget;
  private readonly losses: { readonly match: RequestMatch; readonly happened: () => void }[] = [];
  private frozen: 'no' | 'process' | 'network' = 'no';
  private refusing = false;
  private delayMs = 0;
  private droppingEvents = false;

  constructor(target: FaultTarget) {
    this.target = target;
  }

  /** Whether sessions must not expire now. */
  get timeStands(): boolean {
    return this.frozen === 'process';
  }

  get losesEvents(): boolean {
    return this.droppingEvents;
  }

  /** Submits a new connection to what is in force. */
  applyTo(connection: Connection): void {
    connection.delayMs = this.delayMs;
    if (this.frozen !== 'no') connection.hold();
    else if (this.refusing) connection.destroy();
  }

  losesReply(request: Request, sessionId: bigint): boolean {
    const index = this.losses.findIndex(({ match }) => match(request, sessionId));
    if (index === -1) return false;
    for (const { happened } of this.losses.splice(index, 1)) happened();
    return true;
  }

  sessions(): readonly Session[] {
    return this.target.sessions();
  }

  dropConnections(sessionId?: bigint): void {
    for (const connection of this.target.connections()) {
      if (sessionId === undefined || connection.sessionId === sessionId) connection.destroy();
    }
  }

  expireSession(sessionId: bigint): void {
    if (this.sessions().some((session) => session.sessionId === sessionId))
      this.target.closeSession(sessionId);
  }

  freeze({ expireSessions = false }: { readonly expireSessions?: boolean } = {}): void {
    this.frozen = expireSessions ? 'network' : 'process';
    for (const connection of this.target.connections()) connection.hold();
  }

  thaw(): void {
    if (this.frozen === 'process') this.target.restartTimeouts();
    this.frozen = 'no';
    for (const connection of this.target.connections()) connection.release();
  }

  delayReplies(delayMs: number): void {
    this.delayMs = delayMs;
    for (const connection of this.target.connections()) connection.delayMs = delayMs;
  }

  refuseConnections(refuse: boolean): void {
    this.refusing = refuse;
  }

  dropWatchEvents(drop: boolean): void {
    this.droppingEvents = drop;
  }

  dropNextReply(match: RequestMatch): Promise<void> {
    return new Promise((happened) => this.losses.push({ match, happened }));
  }

  wipe(): void {
    this.target.wipe();
  }
}
