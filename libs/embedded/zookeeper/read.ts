/** Requests that only look: reads, and the re-arming of watches after a reconnect. */
import { isPermitted, redactAcl, requirePermission } from './acl.ts';
import type { DataTree } from './data-tree.ts';
import { statOf } from './data-tree.ts';
import { find } from './prepare.ts';
import type { Id, ReplyBody, Request, WatchEvent } from './protocol.ts';
import { OperationRefused, Perms } from './protocol.ts';
import type { WatchKind } from './watches.ts';

export type Read = Extract<
  Request,
  {
    type:
      | 'exists'
      | 'getData'
      | 'getACL'
      | 'getChildren'
      | 'getChildren2'
      | 'getEphemerals'
      | 'getAllChildrenNumber'
      | 'sync'
      | 'ping';
  }
>;

export interface Reader {
  readonly sessionId: bigint;
  readonly identities: readonly Id[];
  watch(kind: WatchKind, path: string): void;
}

/**
 * A read that fails leaves no watch, with one exception: `exists` of no znode waits for its creation.
 * @throws OperationRefused
 */
export function read(tree: DataTree, request: Read, reader: Reader): ReplyBody {
  switch (request.type) {
    case 'ping':
      return { type: 'none' };
    case 'sync':
      // One node applies one request at a time: there is nothing to catch up with.
      return { type: 'path', path: request.path };
    case 'exists': {
      if (request.watch) reader.watch('data', request.path);
      return { type: 'stat', stat: statOf(find(tree, request.path)) };
    }
    case 'getData': {
      const znode = find(tree, request.path);
      requirePermission(znode.acl, Perms.READ, reader.identities);
      if (request.watch) reader.watch('data', request.path);
      return { type: 'data', data: znode.data, stat: statOf(znode) };
    }
    case 'getChildren':
    case 'getChildren2': {
      const znode = find(tree, request.path);
      requirePermission(znode.acl, Perms.READ, reader.identities);
      if (request.watch) reader.watch('child', request.path);
      const children = [...znode.children];
      if (request.type === 'getChildren') return { type: 'children', children };
      return { type: 'childrenAndStat', children, stat: statOf(znode) };
    }
    case 'getEphemerals': {
      const all = tree.ephemeralsOf(reader.sessionId);
      const prefix = request.prefixPath === '/' ? '' : request.prefixPath;
      return { type: 'children', children: all.filter((path) => path.startsWith(prefix)) };
    }
    case 'getAllChildrenNumber': {
      const znode = find(tree, request.path);
      requirePermission(znode.acl, Perms.READ, reader.identities);
      return { type: 'totalNumber', totalNumber: tree.countBelow(request.path) };
    }
    case 'getACL': {
      const znode = find(tree, request.path);
      if (!isPermitted(znode.acl, Perms.READ | Perms.ADMIN, reader.identities)) {
        throw new OperationRefused('NO_AUTH');
      }
      const mayAdmin = isPermitted(znode.acl, Perms.ADMIN, reader.identities);
      return { type: 'acl', acl: mayAdmin ? znode.acl : redactAcl(znode.acl), stat: statOf(znode) };
    }
  }
}

/**
 * Arms again the watches a client had before it lost its connection.
 * @returns the events it has missed since `relativeZxid`, in place of the watches they have used up
 */
export function rearm(
  tree: DataTree,
  { relativeZxid, dataWatches, existWatches, childWatches }: Extract<Request, { type: 'setWatches' }>,
  watch: (kind: WatchKind, path: string) => void,
): WatchEvent[] {
  const missed: WatchEvent[] = [];
  const arm = (kind: WatchKind, path: string, event: WatchEvent['type'] | undefined) => {
    if (event === undefined) watch(kind, path);
    else missed.push({ type: event, path });
  };
  for (const path of dataWatches) {
    const znode = tree.find(path);
    if (znode === undefined) arm('data', path, 'NODE_DELETED');
    else arm('data', path, znode.mzxid > relativeZxid ? 'NODE_DATA_CHANGED' : undefined);
  }
  for (const path of existWatches) {
    arm('data', path, tree.find(path) === undefined ? undefined : 'NODE_CREATED');
  }
  for (const path of childWatches) {
    const znode = tree.find(path);
    if (znode === undefined) arm('child', path, 'NODE_DELETED');
    else arm('child', path, znode.pzxid > relativeZxid ? 'NODE_CHILDREN_CHANGED' : undefined);
  }
  return missed;
}
