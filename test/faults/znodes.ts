import { connectZooKeeper } from '../../libs/cluster/connection.ts';
import { whenConnected } from '../../libs/cluster/operations.ts';
import { clusterPaths, parseInstanceName } from '../../libs/cluster/paths.ts';
import { grantsCodec, metaCodec, modeCodec, planCodec, termCodec } from '../../libs/cluster/records.ts';
import type { Grants, Meta, Mode, Plan, Term } from '../../libs/cluster/records.ts';
import type { ZooKeeper } from '../../libs/cluster/zookeeper.ts';
import { isZooKeeperError } from '../../libs/cluster/zookeeper.ts';
import { systemClock, systemRandom } from '../../libs/runtime/system.ts';

/** A cluster as its znodes tell, read through a session of the test's own. */
export class Znodes {
  readonly zk: ZooKeeper;
  readonly paths: ReturnType<typeof clusterPaths>;

  private constructor(zk: ZooKeeper, cluster: string) {
    this.zk = zk;
    this.paths = clusterPaths(cluster);
  }

  static async of(connectString: string, cluster: string): Promise<Znodes> {
    const system = { clock: systemClock, random: systemRandom };
    const zk = connectZooKeeper({ connectString, sessionTimeoutMs: 10_000, ...system });
    await whenConnected(zk, { clock: systemClock, timeoutMs: 10_000 });
    return new Znodes(zk, cluster);
  }

  async term(): Promise<{ record: Term; version: number }> {
    const { data, stat } = await this.zk.getData(this.paths.term);
    return { record: termCodec.decode(data, this.paths.term), version: stat.version };
  }

  async meta(): Promise<Meta> {
    return metaCodec.decode((await this.zk.getData(this.paths.meta)).data, this.paths.meta);
  }

  async setMode(mode: Mode): Promise<void> {
    await this.zk.setData(this.paths.mode, modeCodec.encode(mode), -1);
  }

  async plan(): Promise<Plan> {
    return planCodec.decode((await this.zk.getData(this.paths.plan)).data, this.paths.plan);
  }

  /** The grants of `worker`, `undefined` where it has never had any. */
  async grants(worker: string): Promise<Grants | undefined> {
    const path = this.paths.grantsOf(worker);
    try {
      return grantsCodec.decode((await this.zk.getData(path)).data, path);
    } catch (error) {
      if (isZooKeeperError(error, 'NO_NODE')) return undefined;
      throw error;
    }
  }

  /** The live nodes of `worker`. */
  async incarnations(worker: string): Promise<string[]> {
    const { children } = await this.zk.getChildren(this.paths.live);
    return children.flatMap((name) => {
      const instance = parseInstanceName(name);
      return instance?.id === worker ? [instance.incarnation] : [];
    });
  }

  close(): Promise<void> {
    return this.zk.close();
  }
}
