import { digestId } from './acl.ts';
import type { Commit, DatabaseOptions, Instant } from './database.ts';
import { Database } from './database.ts';
import { statOf } from './data-tree.ts';
import { find, prepare } from './prepare.ts';
import type { ConnectRequest, ConnectResponse, MultiResult, Reply, ReplyBody, Request } from './protocol.ts';
import { ErrorCode, NO_BODY, OperationRefused } from './protocol.ts';
import { read, rearm } from './read.ts';
import type { Session } from './sessions.ts';
import type { Change, Snapshot, Transaction } from './transaction.ts';
import type { Notification, WatchKind } from './watches.ts';

/**
 * What follows from a call, to be done in this order: log the transactions, send the notifications, send the
 * reply (to the session that asked), close the connections of the sessions that `ended`.
 */
export interface Outcome {
  readonly transactions: readonly Transaction[];
  readonly notifications: readonly Notification[];
  readonly reply?: Reply;
  readonly ended: readonly bigint[];
  /** After the reply the connection is closed, though the session lives on. */
  readonly disconnect?: boolean;
}

/** EXPIRED: to be answered, then closed. AHEAD: the client has seen what this server has not; closed silently. */
export type ConnectOutcome =
  | {
      readonly type: 'ESTABLISHED' | 'EXPIRED';
      readonly response: ConnectResponse;
      readonly transactions: readonly Transaction[];
    }
  | { readonly type: 'AHEAD' };

const NOTHING: Outcome = { transactions: [], notifications: [], ended: [] };
const NO_SESSION: ConnectResponse = {
  protocolVersion: 0,
  timeOut: 0,
  sessionId: 0n,
  passwd: Buffer.alloc(16),
};

/**
 * A single-node ZooKeeper without sockets, timers, files or chance: each call says what happened and when, and
 * returns what follows. The life of a session is drawn in sessions.ts.
 */
export class StateMachine {
  private readonly database: Database;
  private readonly minTimeoutMs: number;
  private readonly maxTimeoutMs: number;

  constructor(options: DatabaseOptions) {
    this.database = new Database(options);
    this.minTimeoutMs = 2 * options.tickTimeMs;
    this.maxTimeoutMs = 20 * options.tickTimeMs;
  }

  get zxid(): bigint {
    return this.database.zxid;
  }

  get znodeCount(): number {
    return this.database.tree.size;
  }

  hasSession(sessionId: bigint): boolean {
    return this.database.sessions.find(sessionId) !== undefined;
  }

  sessions(): readonly Session[] {
    return this.database.sessions.all();
  }

  snapshot(): Snapshot {
    return this.database.snapshot();
  }

  /** Applies what was logged before a restart; `startMs` as in the constructor's options. */
  replay(transaction: Transaction, startMs: number): void {
    this.database.replay(transaction, startMs);
  }

  /**
   * A client's handshake. Whatever connection its session had before is no longer the session's.
   * @param fresh id (neither 0 nor in use) and password of the session, should it be a new one
   */
  connect(
    { sessionId, passwd, timeOut, lastZxidSeen }: ConnectRequest,
    fresh: { readonly sessionId: bigint; readonly password: Buffer },
    now: Instant,
  ): ConnectOutcome {
    const { sessions } = this.database;
    if (lastZxidSeen > this.zxid) return { type: 'AHEAD' };
    const timeoutMs = Math.min(this.maxTimeoutMs, Math.max(this.minTimeoutMs, timeOut));
    const established = (
      id: bigint,
      password: Buffer,
      transactions: readonly Transaction[],
    ): ConnectOutcome => {
      sessions.attach(id, timeoutMs, now.monotonicMs);
      const response = { protocolVersion: 0, timeOut: timeoutMs, sessionId: id, passwd: password };
      return { type: 'ESTABLISHED', response, transactions };
    };
    if (sessionId === 0n) {
      const change: Change = { type: 'createSession', ...fresh, timeoutMs };
      const { transaction } = this.database.commit([() => change], now);
      return established(fresh.sessionId, fresh.password, [transaction]);
    }
    // Even by one that does not know the password, as in ZooKeeper.
    this.disconnect(sessionId);
    const session = sessions.find(sessionId);
    if (session === undefined || passwd === null || !session.password.equals(passwd)) {
      return { type: 'EXPIRED', response: NO_SESSION, transactions: [] };
    }
    return established(sessionId, passwd, []);
  }

  /** The connection of a session is gone, and with it the session's watches and proven identities. */
  disconnect(sessionId: bigint): void {
    this.database.watches.drop(sessionId);
    if (this.database.sessions.find(sessionId) !== undefined) this.database.sessions.detach(sessionId);
  }

  request(sessionId: bigint, request: Request, now: Instant): Outcome {
    const { sessions, tree, watches } = this.database;
    if (sessions.find(sessionId) === undefined) return this.refuse('SESSION_EXPIRED');
    const session = sessions.touch(sessionId, now.monotonicMs);
    const watch = (kind: WatchKind, path: string) => watches.add(kind, path, sessionId);
    switch (request.type) {
      case 'create':
      case 'delete':
      case 'setData':
      case 'setACL':
      case 'check': {
        const commit = this.database.commit([() => prepare(tree, request, session)], now);
        return this.committed(commit, commit.results[0] ?? NO_BODY, commit.refused?.code);
      }
      case 'multi': {
        const commit = this.database.commit(
          request.ops.map((op) => () => prepare(tree, op, session)),
          now,
        );
        return this.committed(commit, { type: 'multi', results: multiResults(request.ops, commit) });
      }
      case 'create2': {
        const commit = this.database.commit(
          [() => prepare(tree, { ...request, type: 'create' }, session)],
          now,
        );
        return this.committed(commit, this.withStat(commit), commit.refused?.code);
      }
      case 'auth':
        return this.authenticate(sessionId, request);
      case 'setWatches': {
        const missed = rearm(tree, request, watch);
        const notifications = missed.map((event) => ({ sessionId, event }));
        return { ...NOTHING, notifications, reply: this.reply(NO_BODY) };
      }
      case 'closeSession': {
        const closed = this.close(sessionId, now);
        return { ...closed, reply: this.reply(NO_BODY) };
      }
      default:
        return this.attempt(() => read(tree, request, { sessionId, identities: session.identities, watch }));
    }
  }

  /** The answer to what could not be read or is not spoken here; the client is not heard any further. */
  refuse(reason: 'MARSHALLING_ERROR' | 'UNIMPLEMENTED' | 'SESSION_EXPIRED'): Outcome {
    return { ...NOTHING, reply: this.reply(NO_BODY, ErrorCode[reason]), disconnect: true };
  }

  /** Closes a session and deletes its ephemerals, all under one zxid. */
  close(sessionId: bigint, now: Instant): Outcome {
    const ephemerals = this.database.tree.ephemeralsOf(sessionId);
    const changes: Change[] = ephemerals.map((path) => ({ type: 'delete', path }));
    changes.push({ type: 'closeSession', sessionId });
    const { transaction, notifications } = this.database.commit(
      changes.map((change) => () => change),
      now,
    );
    this.database.watches.drop(sessionId);
    return { transactions: [transaction], notifications, ended: [sessionId] };
  }

  /** Closes the sessions whose time is up. To be called at least once a tick. */
  expire(now: Instant): Outcome {
    const due = this.database.sessions.due(now.monotonicMs);
    const outcomes = due.map(({ sessionId }) => this.close(sessionId, now));
    return {
      transactions: outcomes.flatMap(({ transactions }) => transactions),
      notifications: outcomes.flatMap(({ notifications }) => notifications),
      ended: outcomes.flatMap(({ ended }) => ended),
    };
  }

  /** Gives every session its whole timeout again, as a server does that has been away. */
  restartTimeouts(now: Instant): void {
    for (const { sessionId } of this.sessions()) this.database.sessions.touch(sessionId, now.monotonicMs);
  }

  /** What create2 answers: the path, as create does, and the stat of what is there now. */
  private withStat({ results: [created] }: Commit): ReplyBody {
    if (created?.type !== 'path') return NO_BODY;
    const { path } = created;
    return { type: 'pathAndStat', path, stat: statOf(find(this.database.tree, path)) };
  }

  private authenticate(sessionId: bigint, { scheme, auth }: Extract<Request, { type: 'auth' }>): Outcome {
    const known = scheme === 'digest' && auth !== null;
    if (known) this.database.sessions.addIdentity(sessionId, digestId(auth.toString('utf8')));
    // The one reply without a zxid: the client must not take it for what it has seen.
    const reply = { zxid: 0n, err: known ? ErrorCode.OK : ErrorCode.AUTH_FAILED, body: NO_BODY };
    return { ...NOTHING, reply, disconnect: !known };
  }

  private attempt(body: () => ReplyBody): Outcome {
    try {
      return { ...NOTHING, reply: this.reply(body()) };
    } catch (error) {
      if (!(error instanceof OperationRefused)) throw error;
      return { ...NOTHING, reply: this.reply(NO_BODY, error.code) };
    }
  }

  private committed(commit: Commit, body: ReplyBody, err?: number): Outcome {
    const { transaction, notifications } = commit;
    return { ...NOTHING, transactions: [transaction], notifications, reply: this.reply(body, err) };
  }

  private reply(body: ReplyBody, err: number = ErrorCode.OK): Reply {
    return { zxid: this.zxid, err, body };
  }
}

/** A failed multi is answered as a whole with success, and part by part with what became of each. */
function multiResults(ops: Extract<Request, { type: 'multi' }>['ops'], commit: Commit): MultiResult[] {
  const { refused, results } = commit;
  return ops.map(({ type }, index) => {
    if (refused === undefined) return { ...results[index], type } as MultiResult;
    if (index === refused.index) return { type: 'error', err: refused.code };
    return { type: 'error', err: index < refused.index ? ErrorCode.OK : ErrorCode.RUNTIME_INCONSISTENCY };
  });
}
