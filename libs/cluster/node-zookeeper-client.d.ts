/**
 * What we use of node-zookeeper-client 1.1.3, internals included. The package has no types of its own and the
 * ones published apart are wrong in places; `pinned-client.test.ts` checks that what is declared here exists.
 *
 * Longs are buffers of 8 bytes, big endian. A `vector` or `buffer` that is null on the wire reads as `undefined`.
 */

declare module 'node-zookeeper-client/lib/jute/index.js' {
  interface Stat {
    readonly czxid: Buffer;
    readonly mzxid: Buffer;
    readonly pzxid: Buffer;
    readonly ctime: Buffer;
    readonly mtime: Buffer;
    readonly version: number;
    readonly cversion: number;
    readonly aversion: number;
    readonly ephemeralOwner: Buffer;
    readonly dataLength: number;
    readonly numChildren: number;
  }
  /** What any record or transaction knows: to write itself, and to be put under a chroot. */
  interface Payload {
    setChrootPath(path: string | undefined): void;
    byteLength(): number;
    serialize(buffer: Buffer, offset: number): number;
  }
  interface RequestHeader extends Payload {
    xid: number;
    type: number;
  }
  interface AclRecord extends Payload {
    perms: number;
    id: { readonly scheme: string; readonly id: string };
  }
  interface SetWatches extends Payload {
    relativeZxid: Buffer;
    dataWatches: string[];
    existWatches: string[];
    childWatches: string[];
  }
  type Record<Args extends unknown[], Fields = object> = new (...args: Args) => Payload & Fields;

  /** One operation of a transaction, before it is encoded. */
  type TransactionOp =
    | {
        readonly type: number;
        readonly path: string;
        readonly data: Buffer;
        readonly acls: readonly { toRecord(): AclRecord }[];
        readonly mode: number;
      }
    | { readonly type: number; readonly path: string; readonly data: Buffer; readonly version: number }
    | { readonly type: number; readonly path: string; readonly version: number };

  interface TransactionResult {
    readonly type: number;
    readonly path?: string;
    readonly stat?: Stat;
    readonly err?: number;
  }

  class Request {
    constructor(header: RequestHeader | null, payload: Payload | null);
    readonly header: RequestHeader | null;
    readonly payload: Payload | null;
    /** The frame as sent, its four bytes of length included. */
    toBuffer(): Buffer;
  }
  interface Response {
    readonly header: { readonly xid: number; readonly zxid: Buffer; readonly err: number };
    /** `null` where the operation failed, or has no result. */
    readonly payload: {
      readonly path?: string;
      readonly data?: Buffer;
      readonly stat?: Stat;
      readonly children?: string[];
      readonly acl?: readonly AclRecord[];
      readonly results?: readonly TransactionResult[];
    } | null;
  }

  const jute: {
    readonly PROTOCOL_VERSION: number;
    readonly XID_PING: number;
    readonly XID_AUTHENTICATION: number;
    readonly OP_CODES: Readonly<{
      CREATE: 1;
      DELETE: 2;
      EXISTS: 3;
      GET_DATA: 4;
      SET_DATA: 5;
      GET_ACL: 6;
      SET_ACL: 7;
      PING: 11;
      GET_CHILDREN2: 12;
      CHECK: 13;
      MULTI: 14;
      AUTH: 100;
      SET_WATCHES: 101;
      CLOSE_SESSION: -11;
      ERROR: -1;
    }>;
    readonly Request: typeof Request;
    readonly TransactionRequest: new (ops: readonly TransactionOp[]) => Payload;
    readonly protocol: {
      readonly RequestHeader: new (xid: number, type: number) => RequestHeader;
      readonly ConnectRequest: Record<
        [version: number, lastZxid: Buffer, timeoutMs: number, sessionId: Buffer, password: Buffer]
      >;
      readonly AuthPacket: Record<[type: number, scheme: string, auth: Buffer]>;
      readonly SetWatches: new (
        relativeZxid: Buffer,
        dataWatches: string[],
        existWatches: string[],
        childWatches: string[],
      ) => SetWatches;
      readonly CreateRequest: Record<[path: string, data: Buffer, acl: AclRecord[], flags: number]>;
      readonly DeleteRequest: Record<[path: string, version: number]>;
      readonly ExistsRequest: Record<[path: string, watch: boolean]>;
      readonly GetDataRequest: Record<[path: string, watch: boolean]>;
      readonly SetDataRequest: Record<[path: string, data: Buffer, version: number]>;
      readonly GetChildren2Request: Record<[path: string, watch: boolean]>;
      readonly GetACLRequest: Record<[path: string]>;
      readonly SetACLRequest: Record<[path: string, acl: AclRecord[], version: number]>;
    };
  };
  export default jute;
  export type {
    AclRecord,
    Payload,
    RequestHeader,
    Request,
    Response,
    SetWatches,
    Stat,
    TransactionOp,
    TransactionResult,
  };
}

declare module 'node-zookeeper-client/lib/Exception.js' {
  interface Exception extends Error {
    readonly code: number;
    getCode(): number;
  }
  const Exception: {
    /** @throws Error for a code it does not know */
    create: (code: number, path?: string) => Exception;
    readonly OK: 0;
    readonly CONNECTION_LOSS: -4;
    readonly NO_NODE: -101;
    readonly SESSION_EXPIRED: -112;
  };
  export default Exception;
  export type { Exception };
}

declare module 'node-zookeeper-client/lib/ConnectionManager.js' {
  import type { EventEmitter } from 'node:events';
  import type { Socket } from 'node:net';
  import type { Request, Response } from 'node-zookeeper-client/lib/jute/index.js';
  import type { Exception } from 'node-zookeeper-client/lib/Exception.js';

  /** Called with an error and no response where the answer never came. */
  type Callback = (error: Exception | null, response?: Response) => void;
  interface Packet {
    readonly request: Request;
    readonly callback: Callback;
  }
  interface Server {
    readonly host: string;
    readonly port: number;
  }
  interface Event {
    readonly name: 'NODE_CREATED' | 'NODE_DELETED' | 'NODE_DATA_CHANGED' | 'NODE_CHILDREN_CHANGED';
    readonly path: string;
  }
  type EventListener = (event: Event) => void;

  class ConnectionManager extends EventEmitter {
    static readonly STATES: Readonly<{
      DISCONNECTED: 0;
      CONNECTING: 1;
      CONNECTED: 2;
      CONNECTED_READ_ONLY: 3;
      CLOSING: -1;
      CLOSED: -2;
      SESSION_EXPIRED: -3;
      AUTHENTICATION_FAILED: -4;
    }>;
    constructor(
      connectString: string,
      options: { readonly sessionTimeout: number; readonly spinDelay: number },
      stateListener: (state: number) => void,
    );
    state: number;
    socket: Socket | undefined;
    xid: number;
    zxid: Buffer;
    sessionId: Buffer;
    sessionPassword: Buffer;
    /** Milliseconds; what was asked for, and once connected what was granted. */
    sessionTimeout: number;
    /** Milliseconds: the session timeout shared among the servers. */
    connectTimeout: number;
    servers: readonly Server[];
    nextServerIndex: number;
    serverAttempts: number;
    chrootPath: string | undefined;
    credentials: { readonly scheme: string; readonly auth: Buffer }[];
    packetQueue: { queue: Packet[] };
    pendingQueue: Packet[];
    watcherManager: {
      getDataWatcherPaths(): string[];
      getExistenceWatcherPaths(): string[];
      getChildWatcherPaths(): string[];
    };
    connect(): void;
    close(): void;
    findNextServer(callback: (server: Server) => void): void;
    setState(state: number): void;
    queue(request: Request, callback?: Callback): void;
    addAuthInfo(scheme: string, auth: Buffer): void;
    registerDataWatcher(path: string, listener: EventListener): void;
    registerExistenceWatcher(path: string, listener: EventListener): void;
    registerChildWatcher(path: string, listener: EventListener): void;
    onSocketConnected(): void;
    onSocketData(chunk: Buffer): void;
    onSocketDrain(): void;
    onSocketClosed(hasError: boolean): void;
    onSocketTimeout(): void;
    onPacketQueueReadable(): void;
  }
  export default ConnectionManager;
  export type { Callback, Event, EventListener, Packet, Server };
}

declare module 'node-zookeeper-client' {
  import type { AclRecord } from 'node-zookeeper-client/lib/jute/index.js';
  import type ConnectionManager from 'node-zookeeper-client/lib/ConnectionManager.js';
  import type { EventEmitter } from 'node:events';
  import type { Event } from 'node-zookeeper-client/lib/ConnectionManager.js';

  type Callback<T extends unknown[] = []> = (error: Error | null | undefined, ...result: T) => void;
  interface Acl {
    toRecord(): AclRecord;
  }
  interface Transaction {
    check(path: string, version: number): this;
    setData(path: string, data: Buffer, version: number): this;
    commit(callback: Callback): void;
  }
  /** The client as the package offers it: only tests that show its faults use it. */
  interface Client extends EventEmitter {
    readonly connectionManager: ConnectionManager;
    connect(): void;
    close(): void;
    getState(): { getName(): string };
    create(path: string, data: Buffer, mode: number, callback: Callback<[path: string]>): void;
    getData(
      path: string,
      watcher: ((event: Event) => void) | undefined,
      callback: Callback<[data: Buffer | undefined]>,
    ): void;
    setData(path: string, data: Buffer | null, version: number, callback: Callback): void;
    exists(
      path: string,
      watcher: ((event: Event) => void) | undefined,
      callback: Callback<[stat: unknown]>,
    ): void;
    getChildren(path: string, callback: Callback<[children: string[]]>): void;
    removeRecursive(path: string, callback: Callback): void;
    listSubTreeBFS(path: string, callback: Callback<[paths: string[]]>): void;
    transaction(): Transaction;
  }
  const zookeeper: {
    createClient(
      connectString: string,
      options: { readonly sessionTimeout: number; readonly spinDelay: number; readonly retries: number },
    ): Client;
    readonly CreateMode: Readonly<{
      PERSISTENT: 0;
      EPHEMERAL: 1;
      PERSISTENT_SEQUENTIAL: 2;
      EPHEMERAL_SEQUENTIAL: 3;
    }>;
    readonly ACL: Readonly<Record<'OPEN_ACL_UNSAFE' | 'CREATOR_ALL_ACL' | 'READ_ACL_UNSAFE', readonly Acl[]>>;
  };
  export default zookeeper;
  export type { Acl, Client };
}
