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
  #acknowledged: { readonly incarnation: string; readonly ack: Ack } | undefined;

  constructor(options: ControlZnodesOptions) {
    this.#options = options;
    // A watch may have fired meanwhile, or gone with its session.
    options.zk.onState(() => options.onChange());
  }

  /** The grants as they stand, null where there are none. Watched from here on: each time, should an event be missed. */
  async readGrants(): Promise<Grants | null> {
    const { zk, paths, workerId } = this.#options;
    const path = paths.grantsOf(workerId);
    try {
      if ((await zk.exists(path, this.#onWatch)) === null) return null;
      return grantsCodec.decode((await zk.getData(path)).data, path);
    } catch (error) {
      if (isZooKeeperError(error, 'NO_NODE')) return null;
      throw error;
    }
  }

  /** Writes `ack`, unless it stands there already; creates its znode, should somebody have removed it. */
  async acknowledge(ack: Ack, incarnation: string): Promise<void> {
    const { zk, paths, workerId } = this.#options;
    const path = paths.ackOf(workerId, incarnation);
    const last = this.#acknowledged;
    const said = last?.incarnation === incarnation && isDeepStrictEqual(last.ack, ack);
    if (said && (await zk.exists(path)) !== null) return;
    this.#acknowledged = undefined;
    const data = ackCodec.encode(ack);
    try {
      await zk.setData(path, data, -1);
    } catch (error) {
      if (!isZooKeeperError(error, 'NO_NODE')) throw error;
      // Nobody without a live node acknowledges anything; where that is gone too, the worker joins anew.
      await zk.multi([
        { op: 'check', path: paths.liveInstance(workerId, incarnation), version: -1 },
        { op: 'create', path, data, mode: 'EPHEMERAL' },
      ]);
    }
    this.#acknowledged = { incarnation, ack };
  }

  readonly #onWatch = () => this.#options.onChange();
}
