import { invariant } from '../../core/invariant.ts';
import { OPEN_ACL, READ_ACL } from './acl.ts';
import { nameOf, parentOf } from './path.ts';
import type { Acl, Stat, WatchEvent } from './protocol.ts';
import type { TreeChange, ZnodeRecord } from './transaction.ts';

interface Znode {
  data: Buffer | null;
  acl: readonly Acl[];
  readonly czxid: bigint;
  mzxid: bigint;
  pzxid: bigint;
  readonly ctime: bigint;
  mtime: bigint;
  version: number;
  /** Children ever created here: numbers the sequential ones. */
  creates: number;
  aversion: number;
  readonly ephemeralOwner: bigint;
  readonly children: Set<string>;
}

/** What others may look at; only {@link DataTree.apply} changes a znode. */
export type ReadonlyZnode = Readonly<Omit<Znode, 'children'>> & { readonly children: ReadonlySet<string> };

/** What fires watches, and the ACL by which a watcher may hear of it: the znode's as it then is or was. */
export interface TreeEvent extends WatchEvent {
  readonly acl: readonly Acl[];
}

const SYSTEM_ZNODES: readonly (readonly [path: string, acl: readonly Acl[]])[] = [
  ['/', OPEN_ACL],
  ['/zookeeper', OPEN_ACL],
  ['/zookeeper/config', READ_ACL],
  ['/zookeeper/quota', OPEN_ACL],
];

/** Znodes that every server has and that cannot be deleted. */
export function isSystemPath(path: string): boolean {
  return SYSTEM_ZNODES.some(([each]) => each === path);
}

/** The znodes. Every change is numbered, checked by whoever made it, and can be taken back at once. */
export class DataTree {
  private readonly znodes = new Map<string, Znode>();
  private readonly ephemerals = new Map<bigint, Set<string>>();

  constructor(znodes: readonly ZnodeRecord[] = SYSTEM_ZNODES.map(systemZnode)) {
    for (const { path, ...rest } of znodes) {
      this.znodes.set(path, { ...rest, children: new Set() });
      if (path !== '/') this.parent(path).children.add(nameOf(path));
      if (rest.ephemeralOwner !== 0n) this.ephemeralSet(rest.ephemeralOwner).add(path);
    }
  }

  get size(): number {
    return this.znodes.size;
  }

  /** The empty path is the root as well, for those who read. */
  find(path: string): ReadonlyZnode | undefined {
    return this.znodes.get(path === '' ? '/' : path);
  }

  /** How many znodes there are beneath `path`, at any depth. The empty path is above the root, here only. */
  countBelow(path: string): number {
    if (path === '/') return this.size - 1;
    return [...this.znodes.keys()].filter((each) => each.startsWith(`${path}/`)).length;
  }

  /** Paths of a session's ephemerals, oldest first. */
  ephemeralsOf(sessionId: bigint): readonly string[] {
    return [...(this.ephemerals.get(sessionId) ?? [])];
  }

  /**
   * Applies a change that has been checked to be possible.
   * @returns the watch events it causes, in the order they fire, and the function that takes the change back,
   *   for as long as no later one has been applied
   */
  apply(
    change: TreeChange,
    zxid: bigint,
    wallMs: bigint,
  ): { events: readonly TreeEvent[]; undo: () => void } {
    const { path } = change;
    switch (change.type) {
      case 'create': {
        const undo = this.create(change, zxid, wallMs);
        return { undo, events: this.lifeEvents('NODE_CREATED', path, change.acl) };
      }
      case 'delete': {
        const { acl } = this.get(path);
        const undo = this.delete(path, zxid);
        return { undo, events: this.lifeEvents('NODE_DELETED', path, acl) };
      }
      case 'setData': {
        const znode = this.get(path);
        const { acl, data, version, mzxid, mtime } = znode;
        Object.assign(znode, { data: change.data, version: version + 1, mzxid: zxid, mtime: wallMs });
        const undo = () => Object.assign(znode, { data, version, mzxid, mtime });
        return { undo, events: [{ type: 'NODE_DATA_CHANGED', path, acl }] };
      }
      case 'setACL': {
        const znode = this.get(path);
        const { acl, aversion } = znode;
        Object.assign(znode, { acl: change.acl, aversion: aversion + 1 });
        return { undo: () => Object.assign(znode, { acl, aversion }), events: [] };
      }
    }
  }

  private create(
    { path, data, acl, ephemeralOwner }: TreeChange & { type: 'create' },
    zxid: bigint,
    wallMs: bigint,
  ): () => void {
    const parent = this.parent(path);
    const { creates, pzxid } = parent;
    Object.assign(parent, { creates: creates + 1, pzxid: zxid });
    parent.children.add(nameOf(path));
    const born = { czxid: zxid, mzxid: zxid, pzxid: zxid, ctime: wallMs, mtime: wallMs };
    const counts = { version: 0, creates: 0, aversion: 0 };
    this.znodes.set(path, { data, acl, ephemeralOwner, ...born, ...counts, children: new Set() });
    if (ephemeralOwner !== 0n) this.ephemeralSet(ephemeralOwner).add(path);
    return () => {
      Object.assign(parent, { creates, pzxid });
      parent.children.delete(nameOf(path));
      this.znodes.delete(path);
      this.dropEphemeral(ephemeralOwner, path);
    };
  }

  private delete(path: string, zxid: bigint): () => void {
    const znode = this.get(path);
    const parent = this.parent(path);
    const { pzxid } = parent;
    parent.pzxid = zxid;
    parent.children.delete(nameOf(path));
    this.znodes.delete(path);
    this.dropEphemeral(znode.ephemeralOwner, path);
    return () => {
      parent.pzxid = pzxid;
      parent.children.add(nameOf(path));
      this.znodes.set(path, znode);
      if (znode.ephemeralOwner !== 0n) this.ephemeralSet(znode.ephemeralOwner).add(path);
    };
  }

  /** By length of path, so that parents precede their children. */
  records(): ZnodeRecord[] {
    const sorted = [...this.znodes].sort(([a], [b]) => a.length - b.length || (a < b ? -1 : 1));
    return sorted.map(([path, { children: _children, ...znode }]) => ({ path, ...znode }));
  }

  private lifeEvents(type: 'NODE_CREATED' | 'NODE_DELETED', path: string, acl: readonly Acl[]): TreeEvent[] {
    const parent = parentOf(path);
    return [
      { type, path, acl },
      { type: 'NODE_CHILDREN_CHANGED', path: parent, acl: this.get(parent).acl },
    ];
  }

  private get(path: string): Znode {
    const znode = this.znodes.get(path);
    invariant(znode, `no znode ${path}`);
    return znode;
  }

  private parent(path: string): Znode {
    return this.get(parentOf(path));
  }

  private ephemeralSet(sessionId: bigint): Set<string> {
    let paths = this.ephemerals.get(sessionId);
    if (paths === undefined) this.ephemerals.set(sessionId, (paths = new Set()));
    return paths;
  }

  private dropEphemeral(sessionId: bigint, path: string): void {
    const paths = this.ephemerals.get(sessionId);
    paths?.delete(path);
    if (paths?.size === 0) this.ephemerals.delete(sessionId);
  }
}

/** What clients see of a znode. Their cversion counts creations and deletions of children alike. */
export function statOf(znode: ReadonlyZnode): Stat {
  return {
    czxid: znode.czxid,
    mzxid: znode.mzxid,
    ctime: znode.ctime,
    mtime: znode.mtime,
    version: znode.version,
    cversion: 2 * znode.creates - znode.children.size,
    aversion: znode.aversion,
    ephemeralOwner: znode.ephemeralOwner,
    dataLength: znode.data?.length ?? 0,
    numChildren: znode.children.size,
    pzxid: znode.pzxid,
  };
}

function systemZnode([path, acl]: readonly [path: string, acl: readonly Acl[]]): ZnodeRecord {
  const zxids = { czxid: 0n, mzxid: 0n, pzxid: 0n, ctime: 0n, mtime: 0n };
  // ZooKeeper sets the ACL of its own configuration apart, and counts from -1 there.
  const counts = { version: 0, creates: 0, aversion: acl === READ_ACL ? -1 : 0 };
  return { path, data: Buffer.alloc(0), acl, ...zxids, ...counts, ephemeralOwner: 0n };
}
