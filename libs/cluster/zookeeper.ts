/**
 * ZooKeeper as this product uses it: the port that recipes, the controller and the workers are written
 * against. `connection.ts` implements it over node-zookeeper-client.
 */

export interface Stat {
  readonly czxid: bigint;
  readonly mzxid: bigint;
  readonly pzxid: bigint;
  readonly ctimeMs: number;
  readonly mtimeMs: number;
  readonly version: number;
  readonly cversion: number;
  readonly aversion: number;
  /** The owning session of an ephemeral znode, 0n for a persistent one. */
  readonly ephemeralOwner: bigint;
  readonly dataLength: number;
  readonly numChildren: number;
}

export type CreateMode = 'PERSISTENT' | 'PERSISTENT_SEQUENTIAL' | 'EPHEMERAL' | 'EPHEMERAL_SEQUENTIAL';

/** One operation of a multi. `version` -1 matches any version. */
export type Op =
  | { readonly op: 'create'; readonly path: string; readonly data: Buffer; readonly mode: CreateMode }
  | { readonly op: 'setData'; readonly path: string; readonly data: Buffer; readonly version: number }
  | { readonly op: 'delete'; readonly path: string; readonly version: number }
  | { readonly op: 'check'; readonly path: string; readonly version: number };

export type OpResult =
  | { readonly op: 'create'; readonly path: string }
  | { readonly op: 'setData'; readonly stat: Stat }
  | { readonly op: 'delete' }
  | { readonly op: 'check' };

export interface WatchedEvent {
  readonly type: 'NODE_CREATED' | 'NODE_DELETED' | 'NODE_DATA_CHANGED' | 'NODE_CHILDREN_CHANGED';
  readonly path: string;
}

/** One-shot, as ZooKeeper's watches are. Called in order, after the continuation of the read that set it. */
export type Watcher = (event: WatchedEvent) => void;

/**
 * ```
 * LATENT → CONNECTING → CONNECTED(epoch, session) ⇄ SUSPENDED → LOST → CONNECTING → CONNECTED(epoch+1, …)
 * any → CLOSED
 * ```
 * `epoch` counts sessions: CONNECTED with the epoch of before is the same session come back (its ephemerals
 * and watches are still there); a higher epoch is a new session.
 */
export type ConnectionState =
  | { readonly kind: 'LATENT' | 'CONNECTING' | 'SUSPENDED' | 'LOST' | 'CLOSED' }
  | {
      readonly kind: 'CONNECTED';
      readonly epoch: number;
      readonly sessionId: bigint;
      /** As negotiated with the server, milliseconds. */
      readonly sessionTimeoutMs: number;
    };

/**
 * Every operation rejects with a {@link ZooKeeperError}. `CONNECTION_LOSS` is ambiguous: the server may or may
 * not have applied the operation.
 */
export interface ZooKeeper {
  readonly state: ConnectionState;
  /** Calls `listener` on every transition, in order; returns the function that unsubscribes it. */
  onState(listener: (state: ConnectionState) => void): () => void;
  /**
   * Whether this session can be assumed alive at the server right now, judged by the monotonic clock from when
   * the last acknowledged request was *sent*. To be asked synchronously before each side effect of a leader.
   */
  leaseValid(): boolean;

  /** Returns the path created, which for a sequential mode ends in its sequence number. */
  create(path: string, data: Buffer, mode: CreateMode): Promise<string>;
  getData(path: string, watcher?: Watcher): Promise<{ data: Buffer; stat: Stat }>;
  /** `null` where there is no such znode; the watcher then fires on its creation. */
  exists(path: string, watcher?: Watcher): Promise<Stat | null>;
  /** Names, not paths, sorted. */
  getChildren(path: string, watcher?: Watcher): Promise<{ children: string[]; stat: Stat }>;
  setData(path: string, data: Buffer, version: number): Promise<Stat>;
  delete(path: string, version: number): Promise<void>;
  /** All or nothing. On failure the error carries `opIndex`, the first operation refused. */
  multi(ops: readonly Op[]): Promise<OpResult[]>;
  /** A read barrier: reads after it see every write acknowledged to anyone before it. */
  sync(path: string): Promise<void>;
  /** Closes the session (its ephemerals go at once) within `deadlineMs`, then cuts the connection. Idempotent. */
  close(deadlineMs?: number): Promise<void>;
}

export type ZooKeeperErrorCode =
  | 'NO_NODE'
  | 'NODE_EXISTS'
  | 'BAD_VERSION'
  | 'NOT_EMPTY'
  | 'NO_CHILDREN_FOR_EPHEMERALS'
  | 'NO_AUTH'
  | 'INVALID_ACL'
  | 'AUTH_FAILED'
  | 'BAD_ARGUMENTS'
  | 'CONNECTION_LOSS'
  | 'SESSION_EXPIRED'
  | 'OPERATION_TIMEOUT'
  | 'OTHER';

export class ZooKeeperError extends Error {
  override name = 'ZooKeeperError';
  readonly code: ZooKeeperErrorCode;
  readonly operation: string;
  readonly path: string | undefined;
  /** For a multi: index of the first operation refused. */
  readonly opIndex: number | undefined;

  constructor(
    code: ZooKeeperErrorCode,
    operation: string,
    path?: string,
    detail?: { opIndex?: number; message?: string },
  ) {
    super(`${operation}${path === undefined ? '' : ` ${path}`}: ${detail?.message ?? code}`);
    this.code = code;
    this.operation = operation;
    this.path = path;
    this.opIndex = detail?.opIndex;
  }
}

/** Whether `error` is a {@link ZooKeeperError} with one of `codes`. */
export function isZooKeeperError(error: unknown, ...codes: ZooKeeperErrorCode[]): error is ZooKeeperError {
  return error instanceof ZooKeeperError && (codes.length === 0 || codes.includes(error.code));
}
