/**
 * Who may do what to the cluster's znodes. With credentials, all that a connection creates only they may change;
 * anyone may read, so that tools can look: no secret stands in a znode (docs/adr/0008-znodes-are-written-by-one-identity.md).
 */
import { createHash } from 'node:crypto';
import zookeeper from 'node-zookeeper-client';
import type { Acl } from 'node-zookeeper-client';
import { isZooKeeperError } from './zookeeper.ts';
import type { Stat, ZooKeeper } from './zookeeper.ts';

/** Digest credentials, `user:password`. */
export interface DigestAuth {
  readonly user: string;
  readonly password: string;
}

/** One line of a znode's ACL; `perms` is a bit set, {@link READ} the lowest. */
export interface AclEntry {
  readonly perms: number;
  readonly scheme: string;
  readonly id: string;
}

/** What the setting up of a cluster needs besides the port. */
export interface AccessControl {
  getAcl(path: string): Promise<{ acl: readonly AclEntry[]; stat: Stat }>;
  /** Gives the znode the ACL this connection creates with, if its ACL is still of version `aversion`. */
  setCreatorAcl(path: string, aversion: number): Promise<Stat>;
}

const READ = 1;

/** The ACL of what a connection creates: everything to its own identities and reading to all, or all to all. */
export function creatorAcl(auth: DigestAuth | undefined): readonly Acl[] {
  const { OPEN_ACL_UNSAFE, CREATOR_ALL_ACL, READ_ACL_UNSAFE } = zookeeper.ACL;
  return auth === undefined ? OPEN_ACL_UNSAFE : [...CREATOR_ALL_ACL, ...READ_ACL_UNSAFE];
}

/** Persistent znodes of a tree that are not, or not only, for `auth` to change, parents first. */
export interface TreeAccess {
  /** Anyone may change them. */
  readonly open: readonly { readonly path: string; readonly aversion: number }[];
  /** Only others may, the `users`. */
  readonly foreign: readonly { readonly path: string; readonly users: readonly string[] }[];
}

/** Looks at who may change the znodes of a tree. Ephemerals are left out: they are their sessions', and go with them. */
export async function accessOf(
  zk: ZooKeeper & AccessControl,
  root: string,
  auth: DigestAuth | undefined,
): Promise<TreeAccess> {
  const open: { path: string; aversion: number }[] = [];
  const foreign: { path: string; users: string[] }[] = [];
  const pending = [root];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    try {
      const { acl, stat } = await zk.getAcl(path);
      const { children } = await zk.getChildren(path);
      pending.push(...children.map((child) => `${path}/${child}`));
      if (stat.ephemeralOwner !== 0n) continue;
      if (isOpen(acl)) open.push({ path, aversion: stat.aversion });
      else if (!isOwn(acl, auth)) foreign.push({ path, users: usersOf(acl) });
    } catch (error) {
      // Removed meanwhile.
      if (!isZooKeeperError(error, 'NO_NODE')) throw error;
    }
  }
  return { open, foreign };
}

/** Closes those of the `open` znodes that still are: from now on only this connection's identity may change them. */
export async function closeZnodes(zk: AccessControl, open: TreeAccess['open']): Promise<string[]> {
  const closed: string[] = [];
  for (const { path, aversion } of open) {
    try {
      await zk.setCreatorAcl(path, aversion);
      closed.push(path);
    } catch (error) {
      // Removed meanwhile, or closed by another that does the same.
      if (!isZooKeeperError(error, 'NO_NODE', 'BAD_VERSION')) throw error;
    }
  }
  return closed;
}

/** Whether anyone may do more than read. */
function isOpen(acl: readonly AclEntry[]): boolean {
  return acl.some(({ perms, scheme, id }) => scheme === 'world' && id === 'anyone' && (perms & ~READ) !== 0);
}

/** ZooKeeper hides the digest from whoever may not change the ACL, so that finding ours in it proves it. */
function isOwn(acl: readonly AclEntry[], auth: DigestAuth | undefined): boolean {
  if (auth === undefined) return false;
  const own = digestId(auth);
  return acl.some(({ scheme, id }) => scheme === 'digest' && id === own);
}

/** Who may do more than read. A digest is hidden from strangers, the name before it is not. */
function usersOf(acl: readonly AclEntry[]): string[] {
  const writers = acl.filter(({ perms }) => (perms & ~READ) !== 0);
  return writers.map(({ scheme, id }) =>
    scheme === 'digest' ? id.slice(0, id.indexOf(':')) : `${scheme}:${id}`,
  );
}

/** The identity that digest credentials prove: `user:base64(sha1(user:password))`. */
function digestId({ user, password }: DigestAuth): string {
  return `${user}:${createHash('sha1').update(`${user}:${password}`).digest('base64')}`;
}
