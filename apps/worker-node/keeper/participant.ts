import { backoffMs } from '../../../libs/core/backoff.ts';
import { sleep } from '../../../libs/core/clock.ts';
import type { Clock } from '../../../libs/core/clock.ts';
import type { Random } from '../../../libs/core/random.ts';
import { Wakeup } from '../../../libs/core/wakeup.ts';
import type { Paths } from '../../../libs/cluster/paths.ts';
import type { Live } from '../../../libs/cluster/records.ts';
import { isZooKeeperError } from '../../../libs/cluster/zookeeper.ts';
import type { ZooKeeper } from '../../../libs/cluster/zookeeper.ts';
import { StoreNotInitialisedError, StoreUnavailableError } from '../../../libs/db/stores.ts';
import type { Held, OwnershipStore } from '../../../libs/db/stores.ts';
import type { Logger } from '../../../libs/runtime/logger.ts';
import { ControlZnodes } from './control-znodes.ts';
import { FatalError, Membership } from './membership.ts';
import type { Keeper, KeeperListener } from './keeper.ts';
import { Lease } from './lease.ts';
import { acknowledge, planOwnership } from './ownership.ts';

/** Watches only wake; everything is read again this often whatever they said. */
const RESYNC_MS = 3_000;
const NOT_JOINED_RETRY_MS = 250;
const RETRY = { baseMs: 50, maxMs: 1_000 };
/** An acquire waits this long for a claim in flight before it ends the backend that holds it up. */
const ACQUIRE_LOCK_TIMEOUT_MS = 1_000;
const LEAVE_DEADLINE_MS = 3_000;

export interface ParticipantOptions {
  /** Opens a session with ZooKeeper; called again after a wedge. */
  readonly connect: () => ZooKeeper;
  readonly store: OwnershipStore;
  /** For renewals alone: neither an acquire that waits nor a dead connection may hold one up. */
  readonly leaseStore: OwnershipStore;
  readonly paths: Paths;
  readonly workerId: string;
  readonly live: Live;
  /** T: ZooKeeper session timeout and length of the lease. */
  readonly sessionTimeoutMs: number;
  /** The main loop may be silent for this long. */
  readonly wedgedAfterMs: number;
  readonly listener: KeeperListener;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** One connection to ZooKeeper and what goes with it; made anew after a wedge. */
interface ClusterSession {
  readonly zk: ZooKeeper;
  readonly membership: Membership;
  readonly znodes: ControlZnodes;
}

/**
 * A worker's part in the cluster.
 * ```
 * connecting ──▶ joined(incarnation) ──▶ left ──▶ finished
 *      ▲  ▲            │     │
 *      │  └─ session ──┘     └── main loop silent ──▶ wedged ── beats again ──▶ connecting
 * ```
 * One loop compares the grants in ZooKeeper with what Postgres has given us, and takes the steps between them:
 * stop claiming → release in Postgres → acquire in Postgres → claim → acknowledge. Losing the connection or the
 * session stops nothing: what is held is claimed from until Postgres refuses, or until the next incarnation is
 * granted it.
 */
export class Participant implements Keeper {
  readonly #options: ParticipantOptions;
  readonly #wakeup: Wakeup;
  readonly #lease: Lease;
  #cluster: ClusterSession;
  #held = new Map<number, Held>();
  readonly #unsure = new Map<number, Held>();
  readonly #fenced = new Map<number, { granted: number; dbEpoch: number }>();
  #inUse: readonly string[] = [];
  #beatAtMs: number;
  #wedged = false;
  #leaving = false;
  #ownershipLoop: Promise<void> = Promise.resolve();
  #leaseLoop: Promise<void> = Promise.resolve();
  readonly #troubles = new Set<'cluster' | 'lease'>();

  constructor(options: ParticipantOptions) {
    this.#options = options;
    this.#wakeup = new Wakeup(options.clock);
    this.#beatAtMs = options.clock.monotonicMs();
    this.#lease = new Lease({
      store: options.leaseStore,
      workerId: options.workerId,
      leaseMs: options.sessionTimeoutMs,
      keptForMs: options.wedgedAfterMs,
      clock: options.clock,
      suspended: () => this.#wedged,
      onRenewed: () => this.#troubles.delete('lease'),
      onError: (error) => this.#troubled('lease', error),
    });
    this.#cluster = this.#connect();
  }

  /** Starts the loops; they end with `finish`. A fault that is no outage is reported to the listener as fatal. */
  start(): void {
    const fatal = (error: unknown) => {
      const message =
        error instanceof FatalError
          ? error.message
          : `keeper: ${String(error instanceof Error ? error.stack : error)}`;
      this.#options.listener.fatal(message);
    };
    this.#ownershipLoop = this.#run().catch(fatal);
    this.#leaseLoop = this.#lease.run().catch(fatal);
  }

  beat(inUse: readonly string[]): void {
    this.#beatAtMs = this.#options.clock.monotonicMs();
    this.#inUse = inUse;
    this.#keepLeases();
    if (this.#wedged) this.#wakeup.notify();
  }

  fenceLost(parts: readonly Held[]): void {
    for (const part of parts) {
      const held = this.#held.get(part.partition);
      if (held?.epoch === part.epoch && held.incarnation === part.incarnation)
        this.#held.delete(part.partition);
    }
    this.#wakeup.notify();
  }

  async leave(): Promise<void> {
    this.#leaving = true;
    this.#wakeup.notify();
    const { listener, clock, logger } = this.#options;
    listener.held([]);
    // An acquire under way would give us rows after their release: the loop ends first.
    const released = this.#ownershipLoop
      .then(() => this.#release([...this.#held.values(), ...this.#unsure.values()]))
      .catch((error: unknown) => {
        if (!isTransient(error)) throw error;
        logger.warn(
          { reason: error.message },
          'could not release in Postgres: the next owner’s epoch fences us',
        );
      });
    await Promise.race([released, sleep(clock, LEAVE_DEADLINE_MS)]);
    // The live node goes last: when the controller hands our partitions on, their rows are free.
    await this.#cluster.membership.leave();
    await this.#cluster.zk.close(1_000);
  }

  async finish(): Promise<void> {
    this.#leaving = true;
    this.#lease.end();
    this.#wakeup.notify();
    await Promise.all([this.#ownershipLoop, this.#leaseLoop]);
    await this.#cluster.zk.close(1_000);
    try {
      for (const incarnation of this.#lease.incarnations) await this.#options.store.endSession(incarnation);
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      this.#options.logger.warn('database unavailable: the lease ends by itself');
    }
  }

  async #run(): Promise<void> {
    const { random } = this.#options;
    let retries = 0;
    while (!this.#leaving) {
      let waitMs = RESYNC_MS;
      try {
        const joined = (await this.#mindTheBeat()) && (await this.#sync());
        if (joined) this.#troubles.delete('cluster');
        else waitMs = NOT_JOINED_RETRY_MS;
        retries = 0;
      } catch (error) {
        if (!isTransient(error)) throw error;
        this.#troubled('cluster', error);
        waitMs = 20 + backoffMs(retries, random, RETRY);
        retries += 1;
      }
      await this.#rest(waitMs);
    }
  }

  /** Until something may have changed, or the main loop has gone silent; for `waitMs` at most. Reads nothing. */
  async #rest(waitMs: number): Promise<void> {
    const { clock, wedgedAfterMs } = this.#options;
    const untilMs = clock.monotonicMs() + waitMs;
    for (let leftMs = waitMs; leftMs > 0; leftMs = untilMs - clock.monotonicMs()) {
      const woken = await this.#wakeup.wait(Math.min(leftMs, wedgedAfterMs / 4));
      if (woken || (!this.#wedged && this.#silentMs() > wedgedAfterMs)) return;
    }
  }

  #silentMs(): number {
    return this.#options.clock.monotonicMs() - this.#beatAtMs;
  }

  /** False while the main loop is wedged. Lets go of session and lease when it becomes so, and comes back after. */
  async #mindTheBeat(): Promise<boolean> {
    const { wedgedAfterMs, logger, listener } = this.#options;
    const silentMs = this.#silentMs();
    if (silentMs <= wedgedAfterMs) {
      if (this.#wedged) {
        this.#wedged = false;
        logger.warn('event loop runs again: rejoining');
        this.#cluster = this.#connect();
      }
      return true;
    }
    if (!this.#wedged) {
      this.#wedged = true;
      logger.error({ silentMs: Math.round(silentMs) }, 'event loop blocked: giving up partitions and lease');
      this.#held.clear();
      listener.held([]);
      await this.#cluster.zk.close(1_000);
    }
    return false;
  }

  /** One comparison of grants and ownership. False where we have not joined yet. */
  async #sync(): Promise<boolean> {
    const { membership, znodes } = this.#cluster;
    const incarnation = await membership.joined();
    if (incarnation === undefined) return false;
    const grants = await znodes.readGrants();
    const state = { held: this.#held, unsure: this.#unsure, fenced: this.#fenced };
    for (const [partition, { granted }] of this.#fenced) {
      if (grants?.parts[partition] !== granted) this.#fenced.delete(partition);
    }
    const { release, acquire } = planOwnership(state, grants, incarnation);
    if (release.length > 0) {
      await znodes.acknowledge(acknowledge(state, grants, incarnation, release), incarnation);
      await this.#release(release);
      await znodes.acknowledge(acknowledge(state, grants, incarnation, []), incarnation);
    }
    if (acquire.length > 0) await this.#acquire(acquire, incarnation);
    this.#keepLeases();
    await znodes.acknowledge(acknowledge(state, grants, incarnation, []), incarnation);
    return true;
  }

  /** Main is told first, and so claims nothing more; Postgres then waits for a claim in flight. */
  async #release(parts: readonly Held[]): Promise<void> {
    const going = new Set(parts);
    this.#options.listener.held([...this.#held.values()].filter((held) => !going.has(held)));
    for (const incarnation of new Set(parts.map((held) => held.incarnation))) {
      const ofOne = parts.filter((held) => held.incarnation === incarnation);
      await this.#options.store.release(incarnation, ofOne);
      for (const part of ofOne) {
        for (const parts of [this.#held, this.#unsure]) {
          if (parts.get(part.partition) === part) parts.delete(part.partition);
        }
      }
    }
  }

  async #acquire(
    grants: readonly { partition: number; epoch: number }[],
    incarnation: string,
  ): Promise<void> {
    const { store, workerId, listener, logger } = this.#options;
    for (const part of grants) this.#unsure.set(part.partition, { ...part, incarnation });
    const lockTimeoutMs = ACQUIRE_LOCK_TIMEOUT_MS;
    const result = await store.acquire({ workerId, incarnation, grants, lockTimeoutMs });
    for (const { partition } of grants) this.#unsure.delete(partition);
    for (const part of result.owned) {
      this.#held.set(part.partition, { ...part, incarnation });
      this.#fenced.delete(part.partition);
    }
    const grantedEpoch = new Map(grants.map(({ partition, epoch }) => [partition, epoch]));
    for (const { partition, epoch } of result.fenced) {
      this.#held.delete(partition);
      this.#fenced.set(partition, { granted: grantedEpoch.get(partition) ?? 0, dbEpoch: epoch });
    }
    if (result.fenced.length > 0) {
      const partitions = result.fenced.length;
      logger.warn(
        { partitions },
        'grants overtaken in Postgres, as after a loss of ZooKeeper’s data: asking for higher epochs',
      );
    }
    if (!this.#leaving) listener.held([...this.#held.values()]);
  }

  /** The current incarnation's lease, and those under which something is held or still runs. */
  #keepLeases(): void {
    const current = this.#cluster.membership.incarnation;
    const held = [...this.#held.values()].map((part) => part.incarnation);
    this.#lease.need([...this.#inUse, ...held, ...(current === undefined ? [] : [current])]);
  }

  #connect(): ClusterSession {
    const { connect, store, paths, workerId, live, sessionTimeoutMs, random, clock, logger } = this.#options;
    const zk = connect();
    const openLease = async () => {
      this.#keepLeases();
      await this.#lease.renew();
    };
    return {
      zk,
      znodes: new ControlZnodes({ zk, paths, workerId, onChange: () => this.#wakeup.notify() }),
      membership: new Membership({
        ...{ zk, store, paths, workerId, live, sessionTimeoutMs },
        ...{ random, clock, logger, openLease },
      }),
    };
  }

  /** Says what is wrong once, until it has gone right again. */
  #troubled(what: 'cluster' | 'lease', error: Error): void {
    if (this.#troubles.has(what)) return;
    this.#troubles.add(what);
    const doing = { cluster: 'cannot follow the cluster', lease: 'cannot renew the lease' }[what];
    this.#options.logger.warn({ reason: error.message }, `keeper: ${doing}; trying again`);
  }
}

/** What waiting can mend. */
function isTransient(error: unknown): error is Error {
  return (
    error instanceof StoreUnavailableError ||
    error instanceof StoreNotInitialisedError ||
    isZooKeeperError(error)
  );
}
