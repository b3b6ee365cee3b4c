import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { once } from 'node:events';
import { FrameReader } from '../../embedded/zookeeper/frame-reader.ts';
import { decode, int } from '../../embedded/zookeeper/jute.ts';
import type { Writer } from '../../embedded/zookeeper/jute.ts';
import type { Reply, ReplyType, WatchEvent } from '../../embedded/zookeeper/protocol.ts';
import {
  ConnectRequest,
  ConnectResponse,
  Request,
  decodeServerPacket,
  frame,
} from '../../embedded/zookeeper/protocol.ts';

const REPLY_TYPES: Record<Request['type'], ReplyType> = {
  create: 'path',
  delete: 'none',
  setData: 'stat',
  check: 'none',
  exists: 'stat',
  getData: 'data',
  getACL: 'acl',
  setACL: 'stat',
  getChildren: 'children',
  sync: 'path',
  ping: 'none',
  getChildren2: 'childrenAndStat',
  multi: 'multi',
  auth: 'none',
  setWatches: 'none',
  closeSession: 'none',
  create2: 'pathAndStat',
  getEphemerals: 'children',
  getAllChildrenNumber: 'totalNumber',
};
const FIXED_XIDS: Partial<Record<Request['type'], number>> = { ping: -2, auth: -4, setWatches: -8 };

/** The connection ended before the answer came. */
export class ConnectionEnded extends Error {
  override name = 'ConnectionEnded';
}

interface Awaited {
  readonly type: ReplyType;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A ZooKeeper client that hides nothing: one connection, no retry, no ping of its own, every header to be seen.
 * For tests of what a server says on the wire.
 */
export class RawClient {
  /** Events in the order they came, between the replies to whose requests they were sent. */
  readonly events: WatchEvent[] = [];
  readonly session: ConnectResponse;
  private readonly socket: Socket;
  private readonly reader: FrameReader;
  private readonly awaited: Awaited[] = [];
  private lastXid = 0;

  private constructor(socket: Socket, reader: FrameReader, session: ConnectResponse) {
    this.socket = socket;
    this.reader = reader;
    this.session = session;
    socket.on('data', (chunk: Buffer) => {
      this.reader.push(chunk);
      this.readPackets();
    });
    socket.on('close', () => {
      for (const { reject } of this.awaited.splice(0)) reject(new ConnectionEnded());
    });
    this.readPackets();
  }

  /**
   * @returns the client once the handshake is answered; `session.timeOut` is 0 where the session is no more
   * @throws ConnectionEnded where it is not answered
   */
  static async connect(connectString: string, request: Partial<ConnectRequest> = {}): Promise<RawClient> {
    const [host, port] = connectString.split(':');
    const socket = connect({ host: host ?? '', port: Number(port), noDelay: true });
    socket.on('error', () => undefined);
    const session = { protocolVersion: 0, lastZxidSeen: 0n, timeOut: 10_000, sessionId: 0n };
    const hello = { ...session, passwd: Buffer.alloc(16), ...request };
    socket.write(frame((writer) => ConnectRequest.write(writer, hello)));
    const reader = new FrameReader();
    for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      reader.push(chunk);
      const answer = reader.next();
      if (answer !== undefined) return new RawClient(socket, reader, decode(ConnectResponse, answer));
    }
    throw new ConnectionEnded();
  }

  /** @throws ConnectionEnded where no reply came */
  request(request: Request): Promise<Reply> {
    const xid = FIXED_XIDS[request.type] ?? ++this.lastXid;
    return this.send(REPLY_TYPES[request.type], (writer) => {
      int.write(writer, xid);
      Request.write(writer, request);
    });
  }

  private send(type: ReplyType, write: (writer: Writer) => void): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.socket.destroyed) {
        reject(new ConnectionEnded());
        return;
      }
      this.awaited.push({ type, resolve, reject });
      this.socket.write(frame(write));
    });
  }

  /** A request of a type that {@link Request} does not have. */
  requestUnknown(opcode: number): Promise<Reply> {
    return this.send('none', (writer) => {
      int.write(writer, ++this.lastXid);
      int.write(writer, opcode);
    });
  }

  /** Resolves when the server has closed the connection. */
  async closed(): Promise<void> {
    if (!this.socket.closed) await once(this.socket, 'close');
  }

  /** Cuts the connection; the session is left behind. */
  async cut(): Promise<void> {
    this.socket.destroy();
    await this.closed();
  }

  private readPackets(): void {
    for (let packet = this.reader.next(); packet !== undefined; packet = this.reader.next()) {
      const [oldest] = this.awaited;
      const decoded = decodeServerPacket(packet, oldest?.type ?? 'none');
      if (decoded.type === 'event') {
        this.events.push(decoded.event);
      } else {
        this.awaited.shift();
        oldest?.resolve(decoded.reply);
      }
    }
  }
}
