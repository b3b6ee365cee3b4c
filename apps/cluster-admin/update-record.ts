import { retryOnLoss } from '../../libs/cluster/operations.ts';
import type { RetryOptions } from '../../libs/cluster/operations.ts';
import { RecordError } from '../../libs/cluster/records.ts';
import type { Codec } from '../../libs/cluster/records.ts';
import { isZooKeeperError } from '../../libs/cluster/zookeeper.ts';
import type { ZooKeeper } from '../../libs/cluster/zookeeper.ts';

/** How often a record may change under our hands. */
const ATTEMPTS = 5;

export interface RecordChange<T> {
  readonly path: string;
  readonly codec: Codec<T>;
  /** What is to stand there in place of `current`; `undefined` where nothing does that makes sense. Idempotent. */
  readonly change: (current: T | undefined) => T;
}

/**
 * Reads the record of `path`, changes it and writes it where nobody has written in between; creates it where there
 * is none. Returns what stands there then. A change whose reply is lost is made again.
 *
 * @throws ZooKeeperError BAD_VERSION and the like where others kept writing; as {@link retryOnLoss}
 */
export function updateRecord<T>(options: RetryOptions, record: RecordChange<T>): Promise<T> {
  return retryOnLoss(options, async () => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await tryOnce(options.zk, record);
      } catch (error) {
        const raced = isZooKeeperError(error, 'BAD_VERSION', 'NODE_EXISTS', 'NO_NODE');
        if (!raced || attempt === ATTEMPTS) throw error;
      }
    }
  });
}

async function tryOnce<T>(zk: ZooKeeper, { path, codec, change }: RecordChange<T>): Promise<T> {
  const standing = await read(zk, path, codec);
  const next = change(standing?.record);
  const data = codec.encode(next);
  if (standing === undefined) await zk.create(path, data, 'PERSISTENT');
  else await zk.setData(path, data, standing.version);
  return next;
}

async function read<T>(
  zk: ZooKeeper,
  path: string,
  codec: Codec<T>,
): Promise<{ record: T | undefined; version: number } | undefined> {
  try {
    const { data, stat } = await zk.getData(path);
    try {
      return { record: codec.decode(data, path), version: stat.version };
    } catch (error) {
      if (!(error instanceof RecordError)) throw error;
      return { record: undefined, version: stat.version };
    }
  } catch (error) {
    if (isZooKeeperError(error, 'NO_NODE')) return undefined;
    throw error;
  }
}
