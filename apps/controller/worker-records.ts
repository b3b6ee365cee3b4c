/** The part of a snapshot that grows with the workers: what stands of them under /live, /workers, /grants, /acks. */
import { instanceName, parseInstanceName } from '../../libs/cluster/paths.ts';
import {
  ackCodec,
  grantsCodec,
  liveCodec,
  RecordError,
  workerWishCodec,
} from '../../libs/cluster/records.ts';
import type { Ack, Codec } from '../../libs/cluster/records.ts';
import { isZooKeeperError } from '../../libs/cluster/zookeeper.ts';
import type { Stat, Watcher } from '../../libs/cluster/zookeeper.ts';
import { mapBounded } from './map-bounded.ts';
import type { Snapshot, SnapshotSource } from './snapshot.ts';

/** Reads under way at a time. */
const READS = 64;

interface Found<T> {
  /** `undefined` where it makes no sense. */
  readonly record: T | undefined;
  readonly stat: Stat;
}

/**
 * Of two live nodes of one id the newer by czxid counts: the other is a session that has yet to expire.
 * `names` are those of all the live nodes.
 */
export async function readLive(
  source: SnapshotSource,
): Promise<Pick<Snapshot, 'live' | 'selves'> & { names: ReadonlySet<string> }> {
  const { zk, paths, watcher } = source;
  const { children } = await zk.getChildren(paths.live, watcher);
  const found = await mapBounded(children, READS, async (name) => {
    const instance = parseInstanceName(name);
    if (instance === undefined) return [];
    // Its data never changes: no watch.
    const self = await readRecord(source, `${paths.live}/${name}`, liveCodec);
    return self === null ? [] : [{ ...instance, ...self }];
  });
  const byAge = found.flat().sort((a, b) => (a.stat.czxid < b.stat.czxid ? -1 : 1));
  const newest = new Map(byAge.map((self) => [self.id, self]));
  return {
    live: new Map([...newest].map(([id, { incarnation }]) => [id, incarnation])),
    selves: new Map([...newest].flatMap(([id, { record }]) => (record === undefined ? [] : [[id, record]]))),
    names: new Set(children),
  };
}

/** A wish that makes no sense asks for nothing; it stands there all the same, until its worker is long gone. */
export async function readWishes(source: SnapshotSource): Promise<Snapshot['wishes']> {
  const { zk, paths, watcher } = source;
  const { children } = await zk.getChildren(paths.workers, watcher);
  const found = await mapBounded(children, READS, async (id) => {
    const wish = await readRecord(source, paths.worker(id), workerWishCodec, watcher);
    return wish === null ? [] : [[id, { ...wish.record, version: wish.stat.version }] as const];
  });
  return new Map(found.flat());
}

/** @throws RecordError where one makes no sense: nobody but the controller writes them */
export async function readGrants({ zk, paths }: SnapshotSource): Promise<Snapshot['grants']> {
  // Hence no watch, either.
  const { children } = await zk.getChildren(paths.grants);
  const found = await mapBounded(children, READS, async (id) => {
    const path = paths.grantsOf(id);
    try {
      const { data, stat } = await zk.getData(path);
      return [[id, { ...grantsCodec.decode(data, path), version: stat.version }] as const];
    } catch (error) {
      // Retired in between, as whoever looks without leading may see.
      if (isZooKeeperError(error, 'NO_NODE')) return [];
      throw error;
    }
  });
  return new Map(found.flat());
}

/** The acks of the incarnations in `live`, and who has left a farewell; `names` are those of all live nodes. */
export async function readAcks(
  source: SnapshotSource,
  live: Snapshot['live'],
  names: ReadonlySet<string>,
): Promise<Pick<Snapshot, 'acks' | 'farewells'>> {
  const { zk, paths, watcher } = source;
  const { children } = await zk.getChildren(paths.acks, watcher);
  const current = new Map([...live].map(([id, incarnation]) => [instanceName(id, incarnation), id]));
  const acks = new Map<string, Ack>();
  const farewells = new Set<string>();
  await mapBounded(children, READS, async (name) => {
    const id = current.get(name);
    if (id !== undefined) {
      const found = await readRecord(source, `${paths.acks}/${name}`, ackCodec, watcher);
      if (found?.record !== undefined) acks.set(id, found.record);
    } else if (!names.has(name)) {
      // An ephemeral one is that of a worker that has just come.
      if ((await zk.exists(`${paths.acks}/${name}`))?.ephemeralOwner === 0n) farewells.add(name);
    }
  });
  return { acks, farewells };
}

/** `null` where there is no such znode; a record that makes no sense is reported, and is none. */
export async function readRecord<T>(
  { zk, onUnreadable }: SnapshotSource,
  path: string,
  codec: Codec<T>,
  watcher?: Watcher,
): Promise<Found<T> | null> {
  try {
    const { data, stat } = await zk.getData(path, watcher);
    try {
      return { record: codec.decode(data, path), stat };
    } catch (error) {
      if (!(error instanceof RecordError)) throw error;
      onUnreadable(error);
      return { record: undefined, stat };
    }
  } catch (error) {
    if (isZooKeeperError(error, 'NO_NODE')) return null;
    throw error;
  }
}
