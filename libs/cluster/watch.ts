import type { Clock, Timer } from '../core/clock.ts';
import type { Logger } from '../runtime/logger.ts';
import { isZooKeeperError } from './zookeeper.ts';
import type { Watcher, ZooKeeper } from './zookeeper.ts';

export interface WatchOptions {
  readonly zk: ZooKeeper;
  readonly clock: Clock;
  readonly path: string;
  /** Something may have changed: read everything anew. Several changes may come as one call. Must not throw. */
  readonly onChange: () => void;
  /** Wakes at least this often, whatever happens. */
  readonly periodMs?: number;
  readonly logger?: Logger;
}

export interface Watch {
  /** Idempotent; `onChange` is not called afterwards. */
  close(): void;
}

const PERIOD_MS = 3_000;
/** How often a znode may come and go while a watch of its children is set; the periodic look mends the rest. */
const MAX_LOOKS = 5;

/** Watches the existence and the data of `path`, which need not exist. See {@link Watching}. */
export function watchData(options: WatchOptions): Watch {
  return new Watching(options, (zk, path, watcher) => zk.exists(path, watcher));
}

/** Watches the names under `path`, which need not exist. See {@link Watching}. */
export function watchChildren(options: WatchOptions): Watch {
  return new Watching(options, async (zk, path, watcher) => {
    for (let look = 0; look < MAX_LOOKS; look += 1) {
      try {
        await zk.getChildren(path, watcher);
        return;
      } catch (error) {
        if (!isZooKeeperError(error, 'NO_NODE')) throw error;
      }
      // Waits for its creation, unless it was created just now.
      if ((await zk.exists(path, watcher)) === null) return;
    }
  });
}

type Arm = (zk: ZooKeeper, path: string, watcher: Watcher) => Promise<unknown>;

/**
 * One watcher of one path that is set again after each event, on each reconnect and, should one ever be missed,
 * periodically. Level-triggered: an event only wakes; the reader looks at what is there. It is woken after the
 * watcher is set, so what changes while it reads wakes it once more.
 *
 * ```
 * IDLE ──(event, CONNECTED, period)──▶ ARMING ──▶ IDLE, onChange called
 *                                       │  ▲
 *                                       └──┘ something came while arming
 * any → CLOSED
 * ```
 */
class Watching implements Watch {
  readonly #options: WatchOptions;
  readonly #arm: Arm;
  readonly #watcher: Watcher = () => this.#look();
  readonly #unsubscribe: () => void;
  #period: Timer | undefined;
  #arming = false;
  #again = false;
  #closed = false;
  #warned = false;

  constructor(options: WatchOptions, arm: Arm) {
    this.#options = options;
    this.#arm = arm;
    this.#unsubscribe = options.zk.onState(({ kind }) => {
      if (kind === 'CONNECTED') this.#look();
    });
    this.#look();
    this.#schedule();
  }

  close(): void {
    this.#closed = true;
    this.#unsubscribe();
    this.#period?.cancel();
  }

  #schedule(): void {
    const { clock, periodMs = PERIOD_MS } = this.#options;
    this.#period = clock.schedule(periodMs, () => {
      this.#look();
      this.#schedule();
    });
  }

  #look(): void {
    if (this.#closed || this.#options.zk.state.kind !== 'CONNECTED') return;
    this.#again = true;
    if (!this.#arming) void this.#armAndWake();
  }

  /** Never rejects. */
  async #armAndWake(): Promise<void> {
    const { zk, path, onChange, logger } = this.#options;
    this.#arming = true;
    while (this.#again) {
      this.#again = false;
      try {
        await this.#arm(zk, path, this.#watcher);
        this.#warned = false;
      } catch (error) {
        // The next connection looks again.
        if (isZooKeeperError(error, 'CONNECTION_LOSS', 'SESSION_EXPIRED')) continue;
        if (!this.#warned) logger?.warn({ err: error, path }, 'cannot watch; will try again');
        this.#warned = true;
      }
      if (this.#closed) break;
      onChange();
    }
    this.#arming = false;
  }
}
