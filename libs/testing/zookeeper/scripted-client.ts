import type { ConnectResponse, Reply, Request } from '../../embedded/zookeeper/protocol.ts';
import { OPEN_ACL } from '../../embedded/zookeeper/acl.ts';
import { eventually } from '../eventually.ts';
import { ConnectionEnded, RawClient } from './raw-client.ts';

const EPHEMERAL = 1;
const NO_NODE = -101;

/**
 * A client whose sessions go through all that can become of one. Between two calls it is connected, or AWAY: its
 * connection is cut, and its session waits for it at the server.
 */
export class ScriptedClient {
  session: ConnectResponse;
  #client: RawClient;
  #away = false;
  readonly #connectString: string;
  readonly #watched = { data: new Set<string>(), exist: new Set<string>(), child: new Set<string>() };
  #lastZxid = 0n;

  private constructor(connectString: string, client: RawClient) {
    this.#connectString = connectString;
    this.#client = client;
    this.session = client.session;
  }

  static async start(connectString: string): Promise<ScriptedClient> {
    return new ScriptedClient(connectString, await RawClient.connect(connectString));
  }

  get away(): boolean {
    return this.#away;
  }

  async send(request: Request): Promise<Reply> {
    const reply = await this.#client.request(request);
    if (reply.zxid > this.#lastZxid) this.#lastZxid = reply.zxid;
    if ('watch' in request && request.watch) {
      const found = reply.err === 0;
      if (request.type === 'exists') (found ? this.#watched.data : this.#watched.exist).add(request.path);
      else if (found) this.#watched[request.type === 'getData' ? 'data' : 'child'].add(request.path);
    }
    return reply;
  }

  /** A round trip: what the server has sent before is here. @returns the events since the last one, in order */
  async heard(): Promise<string[]> {
    if (this.#away) return [];
    const client = this.#client;
    const { err } = await client.request({ type: 'sync', path: '/' }).catch(() => ({ err: 'closed' }));
    this.#away = err === 'closed';
    const events = client.events.splice(0).map(({ type, path }) => `${type} ${path}`);
    return err === 0 ? events : [...events, String(err)];
  }

  async goAway(): Promise<void> {
    await this.#client.cut();
    this.#away = true;
  }

  /** The same session on a new connection, with every watch it ever set: those used up tell what was missed. */
  async comeBack(timeOut = 10_000): Promise<unknown> {
    if (!this.#away) await this.goAway();
    return this.#attach(timeOut);
  }

  /** The same session on a new connection while the old one is still open, which the server then closes. */
  async takeOver(): Promise<unknown> {
    const old = this.#client;
    const result = await this.#attach();
    await old.closed();
    return result;
  }

  /** A new session; the old one is closed, its ephemerals go, and nobody gets it back. */
  async reopen(): Promise<unknown> {
    const { err } = await this.send({ type: 'closeSession' });
    await this.#client.closed();
    return { err, afterwards: await this.#beginAnew() };
  }

  /**
   * The session expires, as `observer` can see by an ephemeral at `marker`; then a new one.
   * @param timeOut short enough to be waited for
   */
  async expire(observer: ScriptedClient, marker: string, timeOut: number): Promise<unknown> {
    const shortened = await this.comeBack(timeOut);
    const { err } = await this.send({
      type: 'create',
      path: marker,
      data: null,
      acl: OPEN_ACL,
      flags: EPHEMERAL,
    });
    await this.goAway();
    await eventually(
      `${marker} has gone with its session`,
      async () => (await observer.send({ type: 'exists', path: marker, watch: false })).err === NO_NODE,
      { withinMs: 20 * timeOut, everyMs: 10 },
    );
    return { shortened, err, afterwards: await this.#beginAnew() };
  }

  /** Attempts at the session that the server must refuse. The session stays, its connection may not. */
  async impostor(): Promise<unknown> {
    const { sessionId, passwd } = this.session;
    return {
      wrongPassword: await this.#attempt({ sessionId, passwd: Buffer.alloc(16, 1) }),
      unknown: await this.#attempt({ sessionId: sessionId ^ (1n << 54n), passwd }),
      ahead: await this.#attempt({ sessionId, passwd, lastZxidSeen: 2n ** 62n }),
    };
  }

  /** Credentials of a scheme that no server knows: refused, and the connection closed. */
  async authenticateInVain(): Promise<unknown> {
    const { err } = await this.send({
      type: 'auth',
      authType: 0,
      scheme: 'unheard-of',
      auth: Buffer.from('x'),
    });
    await this.#client.closed();
    this.#away = true;
    return { err };
  }

  async close(): Promise<void> {
    if (this.#away) await this.#attach();
    await this.#client.request({ type: 'closeSession' });
    await this.#client.closed();
  }

  async #attach(timeOut = 10_000): Promise<unknown> {
    const { sessionId, passwd } = this.session;
    this.#client = await RawClient.connect(this.#connectString, {
      sessionId,
      passwd,
      timeOut,
      lastZxidSeen: this.#lastZxid,
    });
    this.#away = false;
    const [dataWatches = [], existWatches = [], childWatches = []] = Object.values(this.#watched).map(
      (set) => [...set],
    );
    for (const set of Object.values(this.#watched)) set.clear();
    const watches = { dataWatches, existWatches, childWatches };
    const { err } = await this.send({ type: 'setWatches', relativeZxid: this.#lastZxid, ...watches });
    return { timeOut: this.#client.session.timeOut, same: this.#client.session.sessionId === sessionId, err };
  }

  /** @returns what the server says to an attempt at the session that is over */
  async #beginAnew(): Promise<unknown> {
    const refused = await this.#attempt(this.session);
    for (const set of Object.values(this.#watched)) set.clear();
    this.#client = await RawClient.connect(this.#connectString);
    this.session = this.#client.session;
    this.#away = false;
    return refused;
  }

  async #attempt(request: Parameters<typeof RawClient.connect>[1]): Promise<unknown> {
    try {
      const { session, closed } = await this.#refused(request);
      await closed;
      const { timeOut, sessionId } = session;
      return { timeOut, sessionId };
    } catch (error) {
      if (error instanceof ConnectionEnded) return 'closed without a word';
      throw error;
    }
  }

  async #refused(request: Parameters<typeof RawClient.connect>[1]) {
    const client = await RawClient.connect(this.#connectString, request);
    return { session: client.session, closed: client.closed() };
  }
}
