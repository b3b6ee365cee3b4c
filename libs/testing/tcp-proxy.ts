import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** Seen from the client. */
export type Direction = 'TO_SERVER' | 'TO_CLIENT';

/** Looks at a piece of data on its way to the server: small requests come in one piece each. */
export type RequestMatch = (piece: Buffer) => boolean;

/** A network between a client and a server, for tests to break; it works against any server. */
export interface TcpProxy {
  /** host:port for the client. */
  readonly connectString: string;
  /** Connections accepted so far. */
  readonly accepted: number;
  /**
   * Nothing passes any more, on connections there are and on new ones, yet none is closed: each side believes
   * that the other is silent. What is sent meanwhile is kept, as TCP would send it again, until {@link forward}.
   */
  blackHole(...directions: Direction[]): void;
  /**
   * From the next request that matches on, nothing passes to the server, as in a {@link blackHole}.
   * @returns resolves when that request is held
   */
  holdFrom(matches: RequestMatch): Promise<void>;
  /**
   * The next request that matches reaches the server, and its connection is cut in place of the reply. For a
   * protocol that answers one request before it is sent the next, such as Postgres' here.
   * @returns resolves when that has happened
   */
  dropReply(matches: RequestMatch): Promise<void>;
  /** Accepts new connections and leaves them unanswered, without telling the server. */
  staySilent(): void;
  /** Resets new connections as soon as they are made. */
  refuse(): void;
  /** All is well again; what a black hole held goes on its way. */
  forward(): void;
  /** Closes every connection there is. */
  cut(): void;
  /** Closes every connection after `bytes` more to its client: in mid-frame, where those end inside one. */
  cutAfter(bytes: number): void;
  /** New connections go to another server; those there are stay. */
  retarget(target: string): void;
  /** Pieces of data on their way to clients that a black hole holds. */
  readonly heldToClient: number;
  /** Closes everything. Idempotent. */
  close(): Promise<void>;
}

/** @param target host:port of the server */
export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const proxy = new Proxy(target);
  await proxy.listen();
  return proxy;
}

class Proxy implements TcpProxy {
  readonly #listener = createServer((client) => this.#accept(client));
  readonly #links = new Set<Link>();
  readonly #unanswered = new Set<Socket>();
  readonly #held = new Set<Direction>();
  readonly #traps: { readonly matches: RequestMatch; readonly spring: (link: Link) => void }[] = [];
  #mode: 'FORWARD' | 'REFUSE' | 'SILENT' = 'FORWARD';
  accepted = 0;

  #target: string;

  constructor(target: string) {
    this.#target = target;
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#listener.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
  }

  get connectString(): string {
    return `127.0.0.1:${(this.#listener.address() as AddressInfo).port}`;
  }

  blackHole(...directions: Direction[]): void {
    for (const direction of directions.length > 0 ? directions : (['TO_SERVER', 'TO_CLIENT'] as const)) {
      this.#held.add(direction);
    }
  }

  holdFrom(matches: RequestMatch): Promise<void> {
    return new Promise((resolve) => {
      const spring = () => {
        this.blackHole('TO_SERVER');
        resolve();
      };
      this.#traps.push({ matches, spring });
    });
  }

  dropReply(matches: RequestMatch): Promise<void> {
    return new Promise((resolve) => {
      const spring = (link: Link) => {
        link.onReply = resolve;
      };
      this.#traps.push({ matches, spring });
    });
  }

  staySilent(): void {
    this.#mode = 'SILENT';
  }

  refuse(): void {
    this.#mode = 'REFUSE';
  }

  forward(): void {
    this.#mode = 'FORWARD';
    this.#held.clear();
    for (const link of this.#links) link.release();
  }

  cut(): void {
    for (const link of this.#links) link.destroy();
  }

  cutAfter(bytes: number): void {
    for (const link of this.#links) link.bytesToClient = bytes;
  }

  retarget(target: string): void {
    this.#target = target;
  }

  get heldToClient(): number {
    return [...this.#links].reduce((sum, link) => sum + link.heldToClient, 0);
  }

  async close(): Promise<void> {
    this.cut();
    for (const client of this.#unanswered) client.destroy();
    if (this.#listener.listening) await new Promise((resolve) => this.#listener.close(resolve));
  }

  #address(): { host: string; port: number } {
    const colon = this.#target.lastIndexOf(':');
    return { host: this.#target.slice(0, colon), port: Number(this.#target.slice(colon + 1)) };
  }

  #accept(client: Socket): void {
    this.accepted += 1;
    if (this.#mode === 'REFUSE') {
      client.resetAndDestroy();
    } else if (this.#mode === 'SILENT') {
      this.#unanswered.add(client);
      client.on('error', () => client.destroy()).on('close', () => this.#unanswered.delete(client));
    } else {
      const link = new Link(client, connect(this.#address()), this.#held);
      this.#links.add(link);
      link.onClosed = () => this.#links.delete(link);
      link.onRequest = (piece) => this.#onRequest(piece, link);
    }
  }

  #onRequest(piece: Buffer, link: Link): void {
    const index = this.#traps.findIndex(({ matches }) => matches(piece));
    if (index >= 0) for (const { spring } of this.#traps.splice(index, 1)) spring(link);
  }
}

/** One client's connection and the one made for it to the server. */
class Link {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #held: ReadonlySet<Direction>;
  /** What cannot pass at present, in order: bytes, or `undefined` for a close. */
  #waiting: { readonly direction: Direction; readonly chunk: Buffer | undefined }[] = [];
  /** How many more may pass before both sides are closed. */
  bytesToClient = Infinity;
  onClosed = () => {};
  /** Sees each piece to the server before it is passed on, or held. */
  onRequest: (piece: Buffer) => void = () => {};
  /** Where set: the next piece to the client is swallowed, the link is cut, and this is called. */
  onReply: (() => void) | undefined;

  constructor(client: Socket, server: Socket, held: ReadonlySet<Direction>) {
    this.#client = client;
    this.#server = server;
    this.#held = held;
    this.#pipe(client, 'TO_SERVER');
    this.#pipe(server, 'TO_CLIENT');
  }

  /** Lets pass what was held, what goes one way in one piece: as TCP sends it again. */
  release(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const direction of ['TO_SERVER', 'TO_CLIENT'] as const) {
      const chunks = waiting.filter((held) => held.direction === direction).map(({ chunk }) => chunk);
      this.#pass(Buffer.concat(chunks.filter((chunk) => chunk !== undefined)), direction);
      if (chunks.includes(undefined)) this.destroy();
    }
  }

  /** Pieces on their way to the client that are held. */
  get heldToClient(): number {
    return this.#waiting.filter(({ direction }) => direction === 'TO_CLIENT').length;
  }

  destroy(): void {
    this.#client.destroy();
    this.#server.destroy();
    this.onClosed();
  }

  #pipe(from: Socket, direction: Direction): void {
    const arrived = (chunk: Buffer | undefined) => {
      if (chunk !== undefined && direction === 'TO_SERVER') this.onRequest(chunk);
      if (chunk !== undefined && direction === 'TO_CLIENT' && this.onReply !== undefined) {
        this.destroy();
        this.onReply();
      } else if (this.#held.has(direction)) this.#waiting.push({ direction, chunk });
      else if (chunk === undefined) this.destroy();
      else this.#pass(chunk, direction);
    };
    from.setNoDelay();
    from.on('data', (chunk: Buffer) => arrived(chunk));
    from.on('error', () => from.destroy());
    from.on('close', () => arrived(undefined));
  }

  #pass(chunk: Buffer, direction: Direction): void {
    const to = direction === 'TO_SERVER' ? this.#server : this.#client;
    if (to.destroyed || chunk.length === 0) return;
    if (direction === 'TO_SERVER' || chunk.length < this.bytesToClient) {
      if (direction === 'TO_CLIENT') this.bytesToClient -= chunk.length;
      to.write(chunk);
    } else {
      to.end(chunk.subarray(0, this.bytesToClient), () => this.destroy());
    }
  }
}
