import jute from 'node-zookeeper-client/lib/jute/index.js';
import type { SetWatches } from 'node-zookeeper-client/lib/jute/index.js';

/** Well under the server's `jute.maxbuffer` of 1 MiB, beyond which it drops the connection; Java's client's size. */
const MAX_PACKET_BYTES = 128 * 1024;

export interface WatchedPaths {
  getDataWatcherPaths(): string[];
  getExistenceWatcherPaths(): string[];
  getChildWatcherPaths(): string[];
}

/**
 * The requests that set every watch anew on a new connection of the same session, in packets of bounded size.
 * The server fires at once for what has changed since `sinceZxid`.
 */
export function setWatchesRequests(watched: WatchedPaths, sinceZxid: Buffer): SetWatches[] {
  const requests: SetWatches[] = [];
  let bytes = Infinity;
  const add = (kind: 'dataWatches' | 'existWatches' | 'childWatches', path: string) => {
    const size = 4 + Buffer.byteLength(path);
    if (bytes + size > MAX_PACKET_BYTES) {
      requests.push(new jute.protocol.SetWatches(sinceZxid, [], [], []));
      bytes = 0;
    }
    requests.at(-1)?.[kind].push(path);
    bytes += size;
  };
  for (const path of watched.getDataWatcherPaths()) add('dataWatches', path);
  for (const path of watched.getExistenceWatcherPaths()) add('existWatches', path);
  for (const path of watched.getChildWatcherPaths()) add('childWatches', path);
  return requests;
}
