import { isDeepStrictEqual } from 'node:util';
import type { Paths } from '../../../libs/cluster/paths.ts';
import { ackCodec, grantsCodec } from '../../../libs/cluster/records.ts';
import type { Ack, Grants } from '../../../libs/cluster/records.ts';
import { isZooKeeperError } from '../../../libs/cluster/zookeeper.ts';
import type { ZooKeeper } from '../../../libs/cluster/zookeeper.ts';

export interface ControlZnodesOptions {
  readonly zk: ZooKeeper;
  readonly paths: Paths;
  readonly workerId: string;
  /** The grants may have changed, or the connection's state has. */
  readonly onChange: () => void;
}

/** The two znodes through which the controller and a worker speak: its grants, and its ack of them. */
export class ControlZnodes {
  readonly #options: ControlZnodesOptions;
  #watching = false;
  #acknowledged: { readonly incarnation: string; readonly ack: Ack } | undefined;

  constructor(options: ControlZnodesOptions) {
    this.#options = options;
    options.zk.onState(({ kind }) => {
      // A watch may have fired meanwhile, or gone with its session.
      if (kind === 'CONNECTED') this.#watching = false;
      options.onChange();
    });
  }

  /** The grants as they stand, null where there are none. Watched from here on. */
  async readGrants(): Promise<Grants | null> {
    const { zk, paths, workerId } = this.#options;
    const path = paths.grantsOf(workerId);
    const watcher = this.#watching ? undefined : this.#onWatch;
    this.#watching = true;
    try {
      if ((await zk.exists(path, watcher)) === null) return null;
      return grantsCodec.decode((await zk.getData(path)).data, path);
    } catch (error) {
      this.#watching = false;
      if (isZooKeeperError(error, 'NO_NODE')) return null;
      throw error;
    }
  }

  /** Writes `ack`, unless it stands there already. */
  async acknowledge(ack: Ack, incarnation: string): Promise<void> {
    const last = this.#acknowledged;
    if (last?.incarnation === incarnation && isDeepStrictEqual(last.ack, ack)) return;
    this.#acknowledged = undefined;
    const { zk, paths, workerId } = this.#options;
    await zk.setData(paths.ackOf(workerId, incarnation), ackCodec.encode(ack), -1);
    this.#acknowledged = { incarnation, ack };
  }

  readonly #onWatch = () => {
    this.#watching = false;
    this.#options.onChange();
  };
}
