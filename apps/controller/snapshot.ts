import { parseInstanceName } from '../../libs/cluster/paths.ts';
import type { Paths } from '../../libs/cluster/paths.ts';
import {
  ackCodec,
  grantsCodec,
  metaCodec,
  modeCodec,
  planCodec,
  RecordError,
} from '../../libs/cluster/records.ts';
import type { Ack, Codec, Grants, Meta, Mode, Plan } from '../../libs/cluster/records.ts';
import { isZooKeeperError } from '../../libs/cluster/zookeeper.ts';
import type { Watcher, ZooKeeper } from '../../libs/cluster/zookeeper.ts';
import type { PlanState } from '../../libs/core/transition.ts';
import { mapBounded } from './map-bounded.ts';

/** Everything the controller decides by, as ZooKeeper holds it, with the versions its writes depend on. */
export interface Snapshot {
  readonly meta: Meta;
  readonly mode: Mode;
  readonly plan: PlanState;
  readonly planVersion: number;
  /** The write that made this plan. */
  readonly planOperation: string;
  /** Living workers by id, each with its newest incarnation. */
  readonly live: ReadonlyMap<string, string>;
  readonly grants: ReadonlyMap<string, Grants & { readonly version: number }>;
  /** Acks of the incarnations in `live`. */
  readonly acks: ReadonlyMap<string, Ack>;
}

export interface SnapshotSource {
  readonly zk: ZooKeeper;
  readonly paths: Paths;
  /** Called when something in the snapshot may have changed. One function for all, so that watches do not pile up. */
  readonly watcher: Watcher;
  /** Told of each worker's record that makes no sense. It counts as absent: one worker does not stop the others. */
  readonly onUnreadable: (error: RecordError) => void;
}

/** Reads under way at a time. */
const READS = 64;

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
  const [metaRead, modeRead, planRead, live, grants] = await Promise.all([
    read(source, paths.meta, metaCodec),
    read(source, paths.mode, modeCodec),
    read(source, paths.plan, planCodec),
    readLive(source),
    readGrants(source),
  ]);
  if (metaRead === null) return null;
  if (planRead === null) throw new RecordError(`${paths.plan} is missing: run cluster-init`);
  const meta = metaRead.record;
  return {
    meta,
    mode: modeRead?.record ?? { mode: 'AUTO' },
    plan: planState(planRead.record, meta.partitions, paths.plan),
    planVersion: planRead.version,
    planOperation: planRead.record.operation,
    live,
    grants,
    acks: await readAcks(source, live),
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

/** Of two live nodes of one id the newer by czxid counts: the other is a session that has yet to expire. */
async function readLive({ zk, paths, watcher }: SnapshotSource): Promise<Map<string, string>> {
  const { children } = await zk.getChildren(paths.live, watcher);
  const incarnations = new Map<string, string[]>();
  for (const name of children) {
    const instance = parseInstanceName(name);
    if (instance === undefined) continue;
    incarnations.set(instance.id, [...(incarnations.get(instance.id) ?? []), instance.incarnation]);
  }
  const newest = await mapBounded([...incarnations], READS, async ([id, candidates]) => {
    if (candidates.length === 1) return [id, candidates[0]] as const;
    const created = await mapBounded(candidates, READS, async (incarnation) => {
      const stat = await zk.exists(paths.liveInstance(id, incarnation));
      return { incarnation, czxid: stat?.czxid ?? -1n };
    });
    created.sort((a, b) => (a.czxid > b.czxid ? -1 : 1));
    return [id, created[0]?.incarnation] as const;
  });
  return new Map(
    newest.flatMap(([id, incarnation]) => (incarnation === undefined ? [] : [[id, incarnation]])),
  );
}

async function readGrants(source: SnapshotSource): Promise<Map<string, Grants & { version: number }>> {
  // Nobody else writes grants: no watch.
  const { children } = await source.zk.getChildren(source.paths.grants);
  const found = new Map<string, Grants & { version: number }>();
  await mapBounded(children, READS, async (id) => {
    const path = source.paths.grantsOf(id);
    const { data, stat } = await source.zk.getData(path);
    found.set(id, { ...grantsCodec.decode(data, path), version: stat.version });
  });
  return found;
}

async function readAcks(
  source: SnapshotSource,
  live: ReadonlyMap<string, string>,
): Promise<Map<string, Ack>> {
  const { zk, paths, watcher, onUnreadable } = source;
  const { children } = await zk.getChildren(paths.acks, watcher);
  const present = new Set(children.map((name) => `${paths.acks}/${name}`));
  const acks = new Map<string, Ack>();
  await mapBounded([...live], READS, async ([id, incarnation]) => {
    const path = paths.ackOf(id, incarnation);
    if (!present.has(path)) return;
    try {
      const found = await read(source, path, ackCodec);
      if (found !== null) acks.set(id, found.record);
    } catch (error) {
      if (!(error instanceof RecordError)) throw error;
      onUnreadable(error);
    }
  });
  return acks;
}
