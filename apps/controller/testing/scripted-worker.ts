import type { Paths } from '../../../libs/cluster/paths.ts';
import { ackCodec, grantsCodec, liveCodec } from '../../../libs/cluster/records.ts';
import type { Ack, Grants } from '../../../libs/cluster/records.ts';
import { isZooKeeperError } from '../../../libs/cluster/zookeeper.ts';
import type { ZooKeeper } from '../../../libs/cluster/zookeeper.ts';

export interface ScriptedWorkerOptions {
  /** A session of its own: closing it is the worker's death. */
  readonly zk: ZooKeeper;
  readonly paths: Paths;
  readonly id: string;
  readonly incarnation: string;
}

/**
 * A worker as the controller sees it: a live node, and acks that follow its grants. It acquires at once; it
 * releases at once too, unless told to hold on to what it has.
 */
export class ScriptedWorker {
  readonly id: string;
  readonly incarnation: string;
  readonly #zk: ZooKeeper;
  readonly #paths: Paths;
  #holdsOn = false;
  #owned: Record<string, number> = {};
  #obeying: Promise<void> = Promise.resolve();
  #idle = false;

  private constructor({ zk, paths, id, incarnation }: ScriptedWorkerOptions) {
    this.id = id;
    this.incarnation = incarnation;
    this.#zk = zk;
    this.#paths = paths;
  }

  static async join(options: ScriptedWorkerOptions): Promise<ScriptedWorker> {
    const worker = new ScriptedWorker(options);
    const { zk, paths, id, incarnation } = options;
    const ack = { rev: 0, owned: {}, releasing: [], fenced: {} };
    await zk.create(paths.ackOf(id, incarnation), ackCodec.encode(ack), 'EPHEMERAL');
    const live = liveCodec.encode({ host: 'localhost', pid: 1, version: 'test' });
    await zk.create(paths.liveInstance(id, incarnation), live, 'EPHEMERAL');
    worker.#obeySoon();
    return worker;
  }

  /** From now on it acks what it sees, but goes on owning what is revoked. */
  holdOn(): void {
    this.#holdsOn = true;
  }

  letGo(): void {
    this.#holdsOn = false;
    this.#obeySoon();
  }

  /** From now on it does not ack any more. */
  stopObeying(): void {
    this.#idle = true;
  }

  /** Closes its session: its live node and ack go at once. */
  async leave(): Promise<void> {
    this.#idle = true;
    await this.#obeying;
    await this.#zk.close();
  }

  #obeySoon = (): void => {
    this.#obeying = this.#obeying.then(() => this.#obey());
  };

  async #obey(): Promise<void> {
    if (this.#idle) return;
    try {
      const grants = await this.#readGrants();
      if (grants?.incarnation !== this.incarnation) return;
      const ack = ackCodec.encode(this.#follow(grants));
      await this.#zk.setData(this.#paths.ackOf(this.id, this.incarnation), ack, -1);
    } catch (error) {
      // Its session may be ended under it by the test; anything else is a fault of the test.
      if (!isZooKeeperError(error, 'CONNECTION_LOSS', 'SESSION_EXPIRED', 'NO_NODE')) throw error;
    }
  }

  async #readGrants(): Promise<Grants | null> {
    const path = this.#paths.grantsOf(this.id);
    if ((await this.#zk.exists(path, this.#obeySoon)) === null) return null;
    const { data } = await this.#zk.getData(path);
    return grantsCodec.decode(data, path);
  }

  #follow({ rev, parts, revoked }: Grants): Ack {
    const held = this.#holdsOn
      ? Object.entries(this.#owned).filter(([partition]) => revoked[partition] !== undefined)
      : [];
    this.#owned = { ...Object.fromEntries(held), ...parts };
    return { rev, owned: this.#owned, releasing: [], fenced: {} };
  }
}
