import type { Held } from '../../../libs/db/stores.ts';

/**
 * The keeper holds what a worker is: its ZooKeeper session, its lease in Postgres, the partitions it owns. It
 * lives in a thread of its own (`keeper-thread.ts`), so that a handler which computes for seconds costs none of
 * them; these two interfaces are all that the threads say to each other.
 */
export interface Keeper {
  /**
   * The main loop is alive, and attempts may be in flight under the incarnations `inUse`: their leases are renewed
   * for as long as they are named. To be called several times a second.
   */
  beat(inUse: readonly string[]): void;
  /** A claim found these partitions fenced. */
  fenceLost(parts: readonly Held[]): void;
  /** Releases every partition and leaves the cluster, so that others take over at once; leases are still renewed. */
  leave(): Promise<void>;
  /** Ends the leases and closes. */
  finish(): Promise<void>;
}

export interface KeeperListener {
  /** What may be claimed from now on, under which fence. */
  held(held: readonly Held[]): void;
  /** The worker must not go on: `message` says why. */
  fatal(message: string): void;
}
