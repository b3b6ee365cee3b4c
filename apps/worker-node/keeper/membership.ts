import type { Clock } from '../../../libs/core/clock.ts';
import type { Random } from '../../../libs/core/random.ts';
import type { Paths } from '../../../libs/cluster/paths.ts';
import { parseInstanceName } from '../../../libs/cluster/paths.ts';
import { ackCodec, liveCodec, metaCodec } from '../../../libs/cluster/records.ts';
import type { Live } from '../../../libs/cluster/records.ts';
import { isZooKeeperError, ZooKeeperError } from '../../../libs/cluster/zookeeper.ts';
import type { ZooKeeper } from '../../../libs/cluster/zookeeper.ts';
import type { OwnershipStore } from '../../../libs/db/stores.ts';
import type { Logger } from '../../../libs/runtime/logger.ts';

/** The worker must not run: another cluster's database, a worker id in use. */
export class FatalError extends Error {
  override name = 'FatalError';
}

export interface MembershipOptions {
  readonly zk: ZooKeeper;
  readonly store: OwnershipStore;
  readonly paths: Paths;
  readonly workerId: string;
  readonly live: Live;
  readonly sessionTimeoutMs: number;
  readonly random: Random;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Opens the lease of the incarnation that `incarnation` names by then; the live node is created after. */
  readonly openLease: () => Promise<void>;
}

/**
 * A worker's live node: one incarnation per ZooKeeper session. The incarnation is part of the node's name, so a
 * new session need not wait for the old one's ephemeral to go.
 */
export class Membership {
  readonly #options: MembershipOptions;
  /** Every incarnation this process has had: their leftovers are not somebody else. */
  readonly #own = new Set<string>();
  #current: { readonly epoch: number; readonly incarnation: string; joined: boolean } | undefined;
  #waitingSinceMs: number | undefined;
  #saidUninitialised = false;

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  /** Of the newest session, joined or about to; undefined before the first. */
  get incarnation(): string | undefined {
    return this.#current?.incarnation;
  }

  /**
   * Joins, if this session has not yet. Returns the incarnation, or undefined while there is nothing to do but
   * wait: not connected, cluster-init has not run, another process' ephemeral of our id has not expired.
   *
   * @throws FatalError where this worker must not join at all
   */
  async joined(): Promise<string | undefined> {
    const { zk, random, logger } = this.#options;
    const state = zk.state;
    if (state.kind !== 'CONNECTED') {
      // While ZooKeeper is away no session of a predecessor's can expire: our patience begins anew.
      this.#waitingSinceMs = undefined;
      return undefined;
    }
    if (this.#current?.epoch === state.epoch && this.#current.joined) {
      const { incarnation } = this.#current;
      const live = await zk.exists(this.#options.paths.liveInstance(this.#options.workerId, incarnation));
      if (live !== null) return incarnation;
      logger.warn({ incarnation }, 'live node removed by somebody: joining anew');
      this.#current = undefined;
    }
    if (!(await this.#clusterIsOurs())) return undefined;
    if (await this.#anotherLives(state.sessionTimeoutMs)) return undefined;
    if (this.#current?.epoch !== state.epoch) {
      this.#current = {
        epoch: state.epoch,
        incarnation: random.uuid().replaceAll('-', '').slice(0, 12),
        joined: false,
      };
    }
    const { incarnation } = this.#current;
    // Before it exists: a reply lost on the way must not make us a stranger to ourselves.
    this.#own.add(incarnation);
    await this.#options.openLease();
    await this.#createNodes(incarnation, state.sessionId);
    await this.#refuseToBeSecond(incarnation);
    this.#current.joined = true;
    logger.info({ incarnation, session: `0x${state.sessionId.toString(16)}` }, 'joined the cluster');
    return incarnation;
  }

  /**
   * Removes the live node, if the session still stands. A farewell takes the ack's place and outlasts the session:
   * by it the controller tells this from a crash, which ends with the same znodes gone.
   */
  async leave(): Promise<void> {
    if (this.#current?.joined !== true || this.#options.zk.state.kind !== 'CONNECTED') return;
    await this.#removeNodes(this.#current.incarnation);
  }

  async #removeNodes(incarnation: string): Promise<void> {
    const { zk, paths, workerId } = this.#options;
    const path = paths.ackOf(workerId, incarnation);
    const farewell = ackCodec.encode({ rev: 0, owned: {}, releasing: [], fenced: {} });
    try {
      await zk.multi([
        { op: 'delete', path, version: -1 },
        { op: 'create', path, data: farewell, mode: 'PERSISTENT' },
        { op: 'delete', path: paths.liveInstance(workerId, incarnation), version: -1 },
      ]);
    } catch (error) {
      // The session's end removes them as well.
      if (!isZooKeeperError(error)) throw error;
    }
  }

  /** The same uid must stand in ZooKeeper and in Postgres. */
  async #clusterIsOurs(): Promise<boolean> {
    const { zk, store, paths, logger } = this.#options;
    let data: Buffer;
    try {
      ({ data } = await zk.getData(paths.meta));
    } catch (error) {
      if (!isZooKeeperError(error, 'NO_NODE')) throw error;
      if (!this.#saidUninitialised)
        logger.warn(`no cluster at ${paths.root} in ZooKeeper: waiting for cluster-init`);
      this.#saidUninitialised = true;
      return false;
    }
    const inZooKeeper = metaCodec.decode(data, paths.meta);
    const inPostgres = await store.readMeta();
    if (inZooKeeper.uid !== inPostgres.uid) {
      throw new FatalError(
        `ZooKeeper’s ${paths.meta} belongs to cluster ${inZooKeeper.uid}, the database to ${inPostgres.uid}: check ZOOKEEPER_CONNECT, CLUSTER_NAME and DATABASE_URL`,
      );
    }
    return true;
  }

  /**
   * Whether another process holds our worker id. A crashed predecessor's ephemeral goes with its session, so
   * that much time is given; what is alive after it is a second process. Asked before every live node of ours,
   * not the first only: while this process was frozen, or cut off, another may have taken its place, and a newer
   * live node would take everything from it.
   *
   * @throws FatalError for a second process
   */
  async #anotherLives(negotiatedTimeoutMs: number): Promise<boolean> {
    const { workerId, clock, sessionTimeoutMs, logger } = this.#options;
    const others = await this.#others();
    if (others.length === 0) {
      this.#waitingSinceMs = undefined;
      return false;
    }
    if (this.#waitingSinceMs === undefined) {
      this.#waitingSinceMs = clock.monotonicMs();
      logger.info({ others }, `worker id ${workerId} is still registered: waiting for its session to end`);
    }
    // Twice the timeout: the server rounds expiry up to its tick.
    const patienceMs = 2 * Math.max(sessionTimeoutMs, negotiatedTimeoutMs) + 1_000;
    if (clock.monotonicMs() - this.#waitingSinceMs > patienceMs) throw this.#inUse(others);
    return true;
  }

  /** Two processes that looked at the same time have both seen nobody: the later one goes. */
  async #refuseToBeSecond(incarnation: string): Promise<void> {
    const { zk, paths, workerId } = this.#options;
    const others = await this.#others();
    if (others.length === 0) return;
    const mine = await zk.exists(paths.liveInstance(workerId, incarnation));
    for (const name of others) {
      const stat = await zk.exists(`${paths.live}/${name}`);
      if (stat === null || mine === null || stat.czxid > mine.czxid) continue;
      await this.#removeNodes(incarnation);
      throw this.#inUse([name]);
    }
  }

  /** Live nodes of our worker id that are not ours. */
  async #others(): Promise<string[]> {
    const { zk, paths, workerId } = this.#options;
    const { children } = await zk.getChildren(paths.live);
    return children.filter((name) => {
      const instance = parseInstanceName(name);
      return instance?.id === workerId && !this.#own.has(instance.incarnation);
    });
  }

  #inUse(others: readonly string[]): FatalError {
    const { workerId } = this.#options;
    return new FatalError(
      `worker id ${workerId} is in use by a live worker (${others.join(', ')}): give this one another WORKER_ID`,
    );
  }

  async #createNodes(incarnation: string, sessionId: bigint): Promise<void> {
    const { zk, paths, workerId, live } = this.#options;
    const path = paths.liveInstance(workerId, incarnation);
    const ack = ackCodec.encode({ rev: 0, owned: {}, releasing: [], fenced: {} });
    try {
      await zk.multi([
        { op: 'create', path: paths.ackOf(workerId, incarnation), data: ack, mode: 'EPHEMERAL' },
        { op: 'create', path, data: liveCodec.encode(live), mode: 'EPHEMERAL' },
      ]);
    } catch (error) {
      // Ours already: an earlier try whose reply was lost.
      if (!isZooKeeperError(error, 'NODE_EXISTS')) throw error;
      const stat = await zk.exists(path);
      if (stat?.ephemeralOwner !== sessionId)
        throw new ZooKeeperError('OTHER', 'join', path, { message: 'owned by another session' });
    }
  }
}
