import type { Paths } from '../../../libs/cluster/paths.ts';
import { ackCodec, grantsCodec, liveCodec } from '../../../libs/cluster/records.ts';
import type { Ack, Grants, Live } from '../../../libs/cluster/records.ts';
import { isZooKeeperError } from '../../../libs/cluster/zookeeper.ts';
import type { ZooKeeper } from '../../../libs/cluster/zookeeper.ts';

export interface ScriptedWorkerOptions {
  /** A session of its own: closing it is the worker's death. */
  readonly zk: ZooKeeper;
  readonly paths: Paths;
  readonly id: string;
  readonly incarnation: string;
  /** What it says of itself. */
  readonly self?: Pick<Live, 'zone' | 'weight' | 'tags'>;
}

const NOTHING: Ack = { rev: 0, owned: {}, releasing: [], fenced: {} };

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
    await zk.create(paths.ackOf(id, incarnation), ackCodec.encode(NOTHING), 'EPHEMERAL');
    const live = liveCodec.encode({ host: 'localhost', pid: 1, version: 'test', ...options.self });
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

  /** In good order: its live node goes at once, a farewell stays. */
  async leave(): Promise<void> {
    this.#idle = true;
    await this.#obeying;
    const ack = this.#paths.ackOf(this.id, this.incarnation);
    const live = this.#paths.liveInstance(this.id, this.incarnation);
    await this.#zk.multi([
      { op: 'delete', path: ack, version: -1 },
      { op: 'create', path: ack, data: ackCodec.encode(NOTHING), mode: 'PERSISTENT' },
      { op: 'delete', path: live, version: -1 },
    ]);
    await this.#zk.close();
  }

  /** Its session ends without a word: its live node and ack go at once. */
  async crash(): Promise<void> {
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
