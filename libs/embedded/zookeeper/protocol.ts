/**
 * The records of ZooKeeper's client protocol (3.8 / 3.9) that this server speaks: each once, as a codec that
 * both reads and writes. Numbers and field order are those of ZooKeeper's `zookeeper.jute` and `ZooDefs.java`.
 */
import type { Codec, Infer, VariantOf } from './jute.ts';
import {
  JuteError,
  Reader,
  Writer,
  bool,
  buffer,
  int,
  long,
  record,
  ustring,
  variant,
  vector,
} from './jute.ts';

export const ErrorCode = {
  OK: 0,
  RUNTIME_INCONSISTENCY: -2,
  MARSHALLING_ERROR: -5,
  UNIMPLEMENTED: -6,
  BAD_ARGUMENTS: -8,
  NO_NODE: -101,
  NO_AUTH: -102,
  BAD_VERSION: -103,
  NO_CHILDREN_FOR_EPHEMERALS: -108,
  NODE_EXISTS: -110,
  NOT_EMPTY: -111,
  SESSION_EXPIRED: -112,
  INVALID_ACL: -114,
  AUTH_FAILED: -115,
} as const;

/** The operation cannot be done; says why in ZooKeeper's terms. Nothing was changed. */
export class OperationRefused extends Error {
  override name = 'OperationRefused';
  readonly code: number;
  constructor(reason: keyof typeof ErrorCode) {
    super(reason);
    this.code = ErrorCode[reason];
  }
}

/** The xid of a watch event; pings and auth packets bring fixed ones of their own, which are echoed. */
const NOTIFICATION_XID = -1;
const NOTIFICATION_ZXID = -1n;
const SYNC_CONNECTED = 3;

export const Id = record({ scheme: ustring, id: ustring });
export type Id = Infer<typeof Id>;

/** `perms` is a bit set of {@link Perms}. */
export const Acl = record({ perms: int, id: Id });
export type Acl = Infer<typeof Acl>;

export const Perms = { READ: 1, WRITE: 2, CREATE: 4, DELETE: 8, ADMIN: 16 } as const;

/** `ctime` and `mtime` in milliseconds of wall time. */
export const Stat = record({
  czxid: long,
  mzxid: long,
  ctime: long,
  mtime: long,
  version: int,
  cversion: int,
  aversion: int,
  ephemeralOwner: long,
  dataLength: int,
  numChildren: int,
  pzxid: long,
});
export type Stat = Infer<typeof Stat>;

export const ConnectRequest = record({
  protocolVersion: int,
  lastZxidSeen: long,
  timeOut: int,
  sessionId: long,
  passwd: buffer,
});
export type ConnectRequest = Infer<typeof ConnectRequest>;

/** `timeOut` 0 tells the client that its session is no more. */
export const ConnectResponse = record({
  protocolVersion: int,
  timeOut: int,
  sessionId: long,
  passwd: buffer,
});
export type ConnectResponse = Infer<typeof ConnectResponse>;

/** Flags of a create: bit 0 ephemeral, bit 1 sequential. Containers and TTLs (4 and up) are not spoken. */
export const CreateFlag = { EPHEMERAL: 1, SEQUENTIAL: 2 } as const;

const CreateRequest = record({ path: ustring, data: buffer, acl: vector(Acl), flags: int });
const writes = {
  create: [1, CreateRequest],
  delete: [2, record({ path: ustring, version: int })],
  setData: [5, record({ path: ustring, data: buffer, version: int })],
  check: [13, record({ path: ustring, version: int })],
} as const;
/** What may stand in a multi. */
export const WriteOp = variant(writes);
export type WriteOp = Infer<typeof WriteOp>;

/** Precedes each part of a multi and ends it with `done`. */
const MultiHeader = record({ type: int, done: bool, err: int });
const MULTI_END = { type: -1, done: true, err: -1 } as const;
const ERROR_TYPE = -1;

/** A multi repeats each part's type in a header of its own: `type, done, err` and then the part's record. */
function multiParts<T extends { type: string }>(
  cases: Record<T['type'], readonly [number, unknown]>,
  errorOf: (part: T) => number,
): Codec<readonly T[]> {
  const byNumber = new Map<number, readonly [type: string, codec: Codec<object>]>();
  for (const [type, [number, codec]] of Object.entries<readonly [number, unknown]>(cases)) {
    byNumber.set(number, [type, codec as Codec<object>]);
  }
  return {
    read(reader: Reader) {
      const parts: T[] = [];
      for (;;) {
        const header = MultiHeader.read(reader);
        if (header.done) return parts;
        const found = byNumber.get(header.type);
        if (found === undefined) throw new JuteError(`operation ${header.type} in a multi`);
        parts.push({ type: found[0], ...found[1].read(reader) } as unknown as T);
      }
    },
    write(writer: Writer, parts) {
      for (const part of parts) {
        const [type, codec] = cases[part.type as T['type']];
        MultiHeader.write(writer, { type, done: false, err: errorOf(part) });
        (codec as Codec<unknown>).write(writer, part);
      }
      MultiHeader.write(writer, MULTI_END);
    },
  };
}

const paths = vector(ustring);

export const Request = variant({
  ...writes,
  exists: [3, record({ path: ustring, watch: bool })],
  getData: [4, record({ path: ustring, watch: bool })],
  getACL: [6, record({ path: ustring })],
  setACL: [7, record({ path: ustring, acl: vector(Acl), version: int })],
  getChildren: [8, record({ path: ustring, watch: bool })],
  sync: [9, record({ path: ustring })],
  ping: [11, record({})],
  getChildren2: [12, record({ path: ustring, watch: bool })],
  multi: [14, record({ ops: multiParts<WriteOp>(writes, () => -1) })],
  create2: [15, CreateRequest],
  auth: [100, record({ authType: int, scheme: ustring, auth: buffer })],
  setWatches: [
    101,
    record({ relativeZxid: long, dataWatches: paths, existWatches: paths, childWatches: paths }),
  ],
  getEphemerals: [103, record({ prefixPath: ustring })],
  getAllChildrenNumber: [104, record({ path: ustring })],
  closeSession: [-11, record({})],
} as const);
export type Request = Infer<typeof Request>;

const results = {
  create: [1, record({ path: ustring })],
  delete: [2, record({})],
  setData: [5, record({ stat: Stat })],
  check: [13, record({})],
  error: [ERROR_TYPE, record({ err: int })],
} as const;
/** Of one operation of a multi. Where the multi failed all are errors: 0 before the culprit, -2 after it. */
export type MultiResult = VariantOf<typeof results>;

const replies = {
  none: record({}),
  path: record({ path: ustring }),
  pathAndStat: record({ path: ustring, stat: Stat }),
  totalNumber: record({ totalNumber: int }),
  stat: record({ stat: Stat }),
  data: record({ data: buffer, stat: Stat }),
  children: record({ children: vector(ustring) }),
  childrenAndStat: record({ children: vector(ustring), stat: Stat }),
  acl: record({ acl: vector(Acl), stat: Stat }),
  multi: record({
    results: multiParts<MultiResult>(results, (part) => (part.type === 'error' ? part.err : 0)),
  }),
};
type Replies = typeof replies;
export type ReplyType = keyof Replies;
export type ReplyBody = { [K in ReplyType]: { readonly type: K } & Infer<Replies[K]> }[ReplyType];

/** `body` is `none` where `err` is not 0. */
export interface Reply {
  readonly zxid: bigint;
  readonly err: number;
  readonly body: ReplyBody;
}

/** Of a reply that says no more than its error code. */
export const NO_BODY: ReplyBody = { type: 'none' };

const ReplyHeader = record({ xid: int, zxid: long, err: int });

const eventTypes = {
  NODE_CREATED: 1,
  NODE_DELETED: 2,
  NODE_DATA_CHANGED: 3,
  NODE_CHILDREN_CHANGED: 4,
} as const;
export interface WatchEvent {
  readonly type: keyof typeof eventTypes;
  readonly path: string;
}
const WatcherEvent = record({ type: int, state: int, path: ustring });

/** A packet: what `write` writes, preceded by its length. */
export function frame(write: (writer: Writer) => void): Buffer {
  const writer = new Writer();
  writer.reserve(4);
  write(writer);
  const bytes = writer.finish();
  bytes.writeInt32BE(bytes.length - 4, 0);
  return bytes;
}

export function encodeReply(xid: number, { zxid, err, body }: Reply): Buffer {
  return frame((writer) => {
    ReplyHeader.write(writer, { xid, zxid, err });
    if (err === ErrorCode.OK) (replies[body.type] as Codec<ReplyBody>).write(writer, body);
  });
}

export function encodeEvent({ type, path }: WatchEvent): Buffer {
  return frame((writer) => {
    ReplyHeader.write(writer, { xid: NOTIFICATION_XID, zxid: NOTIFICATION_ZXID, err: ErrorCode.OK });
    WatcherEvent.write(writer, { type: eventTypes[type], state: SYNC_CONNECTED, path });
  });
}

/** A packet from the server, without its length: an event, or the reply to the oldest unanswered request. */
export type ServerPacket =
  | { readonly type: 'event'; readonly event: WatchEvent }
  | { readonly type: 'reply'; readonly xid: number; readonly reply: Reply };

/** The other side of {@link encodeReply} and {@link encodeEvent}; the client knows what it awaits. */
export function decodeServerPacket(packet: Buffer, awaited: ReplyType): ServerPacket {
  const reader = new Reader(packet);
  const { xid, zxid, err } = ReplyHeader.read(reader);
  if (xid === NOTIFICATION_XID) {
    const { type, path } = WatcherEvent.read(reader);
    const [name] = Object.entries(eventTypes).find(([, number]) => number === type) ?? [];
    if (name === undefined) throw new JuteError(`event of type ${type}`);
    return { type: 'event', event: { type: name as WatchEvent['type'], path } };
  }
  const body =
    err === ErrorCode.OK ? { ...(replies[awaited] as Codec<object>).read(reader), type: awaited } : NO_BODY;
  return { type: 'reply', xid, reply: { zxid, err, body: body as ReplyBody } };
}
