import type { Paths } from './paths.ts';
import { metaCodec, modeCodec, planCodec, termCodec } from './records.ts';
import type { Meta } from './records.ts';
import { isZooKeeperError, ZooKeeperError } from './zookeeper.ts';
import type { Op, ZooKeeper } from './zookeeper.ts';

/** How often a tree that changes under our hands is looked at again. */
const ATTEMPTS = 10;

/**
 * `/meta`, or `null` where cluster-init has not been, or ZooKeeper was wiped since.
 * @throws RecordError where it is of another format
 */
export async function readMeta(zk: ZooKeeper, paths: Paths): Promise<Meta | null> {
  try {
    const { data } = await zk.getData(paths.meta);
    return metaCodec.decode(data, paths.meta);
  } catch (error) {
    if (isZooKeeperError(error, 'NO_NODE')) return null;
    throw error;
  }
}

/**
 * Creates the znodes of the cluster that are missing, all of them or none, and leaves the others as they are.
 * Returns the paths created. A tree created anew starts its epochs at 0, whatever Postgres holds: the workers
 * report the refusals, and the controller mints past them. To be repeated where it ends in CONNECTION_LOSS.
 * @throws ZooKeeperError NO_AUTH naming the znode that may not be created
 */
export async function bootstrapTree(zk: ZooKeeper, paths: Paths, meta: Meta): Promise<string[]> {
  for (let attempt = 1; ; attempt += 1) {
    const missing: Op[] = [];
    for (const [path, data] of treeOf(paths, meta)) {
      if ((await zk.exists(path)) === null) missing.push({ op: 'create', path, data, mode: 'PERSISTENT' });
    }
    if (missing.length === 0) return [];
    try {
      await zk.multi(missing);
      return missing.map(({ path }) => path);
    } catch (error) {
      if (isZooKeeperError(error, 'NO_AUTH')) {
        const message = 'NO_AUTH: its parent is reserved to other credentials than ZOOKEEPER_AUTH';
        throw new ZooKeeperError('NO_AUTH', 'create', missing[error.opIndex ?? 0]?.path, { message });
      }
      // Another cluster-init was faster: what is there now tells.
      if (!isZooKeeperError(error, 'NODE_EXISTS', 'NO_NODE') || attempt === ATTEMPTS) throw error;
    }
  }
}

/** Every persistent znode of a new cluster with its first data, parents first. */
function treeOf(paths: Paths, meta: Meta): [path: string, data: Buffer][] {
  const empty = Buffer.alloc(0);
  const operation = 'cluster-init';
  const plan = planCodec.encode({
    rev: 0,
    workers: [],
    target: Array<number>(meta.partitions).fill(-1),
    epoch: Array<number>(meta.partitions).fill(0),
    operation,
  });
  return [
    [paths.root, empty],
    [paths.controller, empty],
    [paths.election, empty],
    [paths.term, termCodec.encode({ leader: '', operation })],
    [paths.mode, modeCodec.encode({ mode: 'AUTO' })],
    [paths.plan, plan],
    [paths.workers, empty],
    [paths.live, empty],
    [paths.grants, empty],
    [paths.acks, empty],
    [paths.meta, metaCodec.encode(meta)],
  ];
}
