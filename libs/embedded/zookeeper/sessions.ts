import { invariant } from '../../core/invariant.ts';
import type { Id } from './protocol.ts';
import type { SessionRecord } from './transaction.ts';

/**
 * ```
 * open ─▶ DETACHED ⇄ ATTACHED       attach: a client connected with id and password; detach: its connection went
 *            │           │
 *            └─▶ closed ◀┘          by the client, or because nothing was heard from it until the deadline
 * ```
 */
export interface Session {
  readonly sessionId: bigint;
  readonly password: Buffer;
  readonly timeoutMs: number;
  /** On the monotonic clock. */
  readonly deadlineMs: number;
  readonly attached: boolean;
  /** Proven on the present connection. */
  readonly identities: readonly Id[];
}

/** The sessions and when they expire. */
export class Sessions {
  private readonly byId = new Map<bigint, Session>();
  private readonly tickTimeMs: number;

  constructor(tickTimeMs: number) {
    this.tickTimeMs = tickTimeMs;
  }

  get size(): number {
    return this.byId.size;
  }

  all(): readonly Session[] {
    return [...this.byId.values()];
  }

  find(sessionId: bigint): Session | undefined {
    return this.byId.get(sessionId);
  }

  open({ sessionId, password, timeoutMs }: SessionRecord, nowMs: number): void {
    invariant(password, 'a session has a password');
    this.byId.set(sessionId, {
      sessionId,
      password,
      timeoutMs,
      deadlineMs: this.deadline(nowMs, timeoutMs),
      attached: false,
      identities: [],
    });
  }

  attach(sessionId: bigint, timeoutMs: number, nowMs: number): void {
    const deadlineMs = this.deadline(nowMs, timeoutMs);
    this.update(sessionId, { timeoutMs, deadlineMs, attached: true, identities: [] });
  }

  detach(sessionId: bigint): void {
    this.update(sessionId, { attached: false, identities: [] });
  }

  /** The client was heard: its timeout starts anew. */
  touch(sessionId: bigint, nowMs: number): Session {
    const { timeoutMs } = this.get(sessionId);
    return this.update(sessionId, { deadlineMs: this.deadline(nowMs, timeoutMs) });
  }

  addIdentity(sessionId: bigint, identity: Id): void {
    const { identities } = this.get(sessionId);
    if (identities.some(({ scheme, id }) => scheme === identity.scheme && id === identity.id)) return;
    this.update(sessionId, { identities: [...identities, identity] });
  }

  close(sessionId: bigint): void {
    this.byId.delete(sessionId);
  }

  due(nowMs: number): readonly Session[] {
    return this.all().filter(({ deadlineMs }) => deadlineMs <= nowMs);
  }

  /** Sessions expire in whole ticks: the first one *after* the timeout, as ZooKeeper's ExpiryQueue rounds. */
  private deadline(nowMs: number, timeoutMs: number): number {
    return (Math.floor((nowMs + timeoutMs) / this.tickTimeMs) + 1) * this.tickTimeMs;
  }

  private get(sessionId: bigint): Session {
    const session = this.byId.get(sessionId);
    invariant(session, `no session ${sessionId}`);
    return session;
  }

  private update(sessionId: bigint, change: Partial<Session>): Session {
    const session = { ...this.get(sessionId), ...change };
    this.byId.set(sessionId, session);
    return session;
  }
}
