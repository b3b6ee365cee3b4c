import type { Paths } from '../../libs/cluster/paths.ts';
import { metaCodec, modeCodec, planCodec, RecordError } from '../../libs/cluster/records.ts';
import type { Ack, Codec, Grants, Live, Meta, Mode, Plan, WorkerWish } from '../../libs/cluster/records.ts';
import { isZooKeeperError } from '../../libs/cluster/zookeeper.ts';
import type { Watcher, ZooKeeper } from '../../libs/cluster/zookeeper.ts';
import type { PlanState } from '../../libs/core/transition.ts';
import { unpackAges } from './ages.ts';
import type { Ages } from './ages.ts';
import { readAcks, readGrants, readLive, readRecord, readWishes } from './worker-records.ts';

/** A record with the version of its znode, which a write of it depends on. */
export type Versioned<T> = T & { readonly version: number };

/** Everything the controller decides by, as ZooKeeper holds it, with the versions its writes depend on. */
export interface Snapshot {
  readonly meta: Meta;
  readonly mode: Mode;
  /** `null` where there is no such znode. */
  readonly modeVersion: number | null;
  readonly plan: PlanState;
  readonly ages: Ages;
  readonly planVersion: number;
  /** The write that made this plan. */
  readonly planOperation: string;
  /** Who was in quarantine when the plan was written, each with the wall time of its end. */
  readonly quarantined: ReadonlyMap<string, number>;
  /** Living workers by id, each with its newest incarnation. */
  readonly live: ReadonlyMap<string, string>;
  /** What the living workers say of themselves. */
  readonly selves: ReadonlyMap<string, Live>;
  /** By worker id, living or not. */
  readonly wishes: ReadonlyMap<string, Versioned<WorkerWish>>;
  readonly grants: ReadonlyMap<string, Versioned<Grants>>;
  /** Acks of the incarnations in `live`. */
  readonly acks: ReadonlyMap<string, Ack>;
  /** Names of the instances that left in good order. */
  readonly farewells: ReadonlySet<string>;
}

export interface SnapshotSource {
  readonly zk: ZooKeeper;
  readonly paths: Paths;
  /**
   * Called when something in the snapshot may have changed. One function for all, so that watches do not pile up;
   * none for who looks only once.
   */
  readonly watcher?: Watcher;
  /** Told of each worker's record that makes no sense. It counts as absent: one worker does not stop the others. */
  readonly onUnreadable: (error: RecordError) => void;
}

/**
 * Reads everything anew and leaves watches behind; `null` where `/meta` is missing.
 *
 * The reads are not one instant. That is safe because every write depends on the versions read and on the
 * term, and because what a worker acknowledged it does not take back under the same incarnation.
 *
 * @throws RecordError where a record of the controller's own makes no sense
 */
export async function readSnapshot(source: SnapshotSource): Promise<Snapshot | null> {
  const { zk, paths, watcher } = source;
  if ((await zk.exists(paths.meta, watcher)) === null) return null;
  const [metaRead, modeRead, planRead, { live, selves, names }, grants, wishes] = await Promise.all([
    read(source, paths.meta, metaCodec),
    readRecord(source, paths.mode, modeCodec, watcher),
    read(source, paths.plan, planCodec),
    readLive(source),
    readGrants(source),
    readWishes(source),
  ]);
  if (metaRead === null) return null;
  if (planRead === null) throw new RecordError(`${paths.plan} is missing: run cluster-init`);
  const meta = metaRead.record;
  return {
    meta,
    mode: modeRead?.record ?? { mode: 'AUTO' },
    modeVersion: modeRead?.stat.version ?? null,
    plan: planState(planRead.record, meta.partitions, paths.plan),
    ages: unpackAges(planRead.record.ages, meta.partitions),
    planVersion: planRead.version,
    planOperation: planRead.record.operation,
    quarantined: new Map(Object.entries(planRead.record.quarantined ?? {})),
    live,
    selves,
    wishes,
    grants,
    // After the live nodes: a worker that is not among them any more has left its farewell by now, if it does.
    ...(await readAcks(source, live, names)),
  };
}

/** A znode's record and version, or `null` where there is no such znode. */
async function read<T>(
  { zk, watcher }: SnapshotSource,
  path: string,
  codec: Codec<T>,
): Promise<{ record: T; version: number } | null> {
  try {
    const { data, stat } = await zk.getData(path, watcher);
    return { record: codec.decode(data, path), version: stat.version };
  } catch (error) {
    if (isZooKeeperError(error, 'NO_NODE')) return null;
    throw error;
  }
}

function planState({ rev, workers, target, epoch }: Plan, partitions: number, path: string): PlanState {
  if (target.length !== partitions || epoch.length !== partitions) {
    throw new RecordError(`${path}: a plan of ${target.length} partitions in a cluster of ${partitions}`);
  }
  return { rev, target: target.map((index) => workers[index] ?? null), epoch };
}
