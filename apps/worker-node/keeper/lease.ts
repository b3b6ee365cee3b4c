import { Wakeup } from '../../../libs/core/wakeup.ts';
import type { Clock } from '../../../libs/core/clock.ts';
import { StoreUnavailableError } from '../../../libs/db/stores.ts';
import type { OwnershipStore } from '../../../libs/db/stores.ts';

export interface LeaseOptions {
  readonly store: OwnershipStore;
  readonly workerId: string;
  readonly leaseMs: number;
  /** What the main loop says of itself may be this old: so long a lease is kept that is no longer asked for. */
  readonly keptForMs: number;
  readonly clock: Clock;
  /** Renewing is suspended while this says so. */
  readonly suspended: () => boolean;
  readonly onRenewed: () => void;
  readonly onError: (error: Error) => void;
}

/**
 * The lease of a worker's incarnations in Postgres, renewed three times per length by one statement for all of
 * them. A renewal that fails is repeated soon; its store gives up on one that hangs, so that the lease survives it.
 */
export class Lease {
  readonly #options: LeaseOptions;
  readonly #wakeup: Wakeup;
  /** When each incarnation was last said to be needed. */
  readonly #neededAtMs = new Map<string, number>();
  #ended = false;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#wakeup = new Wakeup(options.clock);
  }

  get incarnations(): readonly string[] {
    return [...this.#neededAtMs.keys()];
  }

  /** The leases of these are renewed from the next renewal on, until they have not been needed for `keptForMs`. */
  need(incarnations: readonly string[]): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const incarnation of incarnations) this.#neededAtMs.set(incarnation, nowMs);
    for (const [incarnation, neededAtMs] of this.#neededAtMs) {
      if (nowMs - neededAtMs > this.#options.keptForMs) this.#neededAtMs.delete(incarnation);
    }
  }

  /** Renews now. Rejects with StoreUnavailableError while the database is away. */
  async renew(): Promise<void> {
    const { store, workerId, leaseMs, onRenewed } = this.#options;
    if (this.#neededAtMs.size === 0) return;
    await store.renew(workerId, this.incarnations, leaseMs);
    onRenewed();
  }

  /** Renews until `end`. */
  async run(): Promise<void> {
    const { leaseMs, suspended, onError } = this.#options;
    while (!this.#ended) {
      let waitMs = leaseMs / 3;
      try {
        if (!suspended()) await this.renew();
      } catch (error) {
        if (!(error instanceof StoreUnavailableError)) throw error;
        onError(error);
        waitMs = leaseMs / 12;
      }
      await this.#wakeup.wait(waitMs);
    }
  }

  end(): void {
    this.#ended = true;
    this.#wakeup.notify();
  }
}
