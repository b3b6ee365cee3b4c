/** Access control as ZooKeeper has it, for the schemes world, digest and auth. */
import { createHash } from 'node:crypto';
import type { Acl, Id } from './protocol.ts';
import { OperationRefused, Perms } from './protocol.ts';

const ANYONE: Id = { scheme: 'world', id: 'anyone' };
const ALL = Perms.READ | Perms.WRITE | Perms.CREATE | Perms.DELETE | Perms.ADMIN;

export const OPEN_ACL: readonly Acl[] = [{ perms: ALL, id: ANYONE }];
export const READ_ACL: readonly Acl[] = [{ perms: Perms.READ, id: ANYONE }];

function sameId(a: Id, b: Id): boolean {
  return a.scheme === b.scheme && a.id === b.id;
}

/** The identity that `user:password` proves: `user:base64(sha1(user:password))`. */
export function digestId(credentials: string): Id {
  const user = credentials.split(':', 1)[0] ?? '';
  return { scheme: 'digest', id: `${user}:${createHash('sha1').update(credentials).digest('base64')}` };
}

/** Whether one of `identities` has one of the rights in `perms` by `acl`. */
export function isPermitted(acl: readonly Acl[], perms: number, identities: readonly Id[]): boolean {
  return acl.some(
    (entry) =>
      (entry.perms & perms) !== 0 &&
      (sameId(entry.id, ANYONE) || identities.some((identity) => sameId(identity, entry.id))),
  );
}

/** @throws OperationRefused NO_AUTH */
export function requirePermission(acl: readonly Acl[], perms: number, identities: readonly Id[]): void {
  if (!isPermitted(acl, perms, identities)) throw new OperationRefused('NO_AUTH');
}

/**
 * The ACL to store for one a client asks for: scheme `auth` becomes the client's own identities, duplicates go.
 * @throws OperationRefused INVALID_ACL where it is empty or of another scheme, or `auth` has nobody to stand for
 */
export function resolveAcl(requested: readonly Acl[], identities: readonly Id[]): readonly Acl[] {
  const resolved: Acl[] = [];
  for (const { perms, id } of requested) {
    const wellFormed = id.scheme === 'digest' ? id.id.split(':').length === 2 : sameId(id, ANYONE);
    const ids = id.scheme === 'auth' ? identities : wellFormed ? [id] : [];
    if (ids.length === 0) throw new OperationRefused('INVALID_ACL');
    for (const each of ids) {
      if (!resolved.some((entry) => entry.perms === perms && sameId(entry.id, each))) {
        resolved.push({ perms, id: each });
      }
    }
  }
  if (resolved.length === 0) throw new OperationRefused('INVALID_ACL');
  return resolved;
}

/** What a client without ADMIN sees of an ACL: digests without their hashes. */
export function redactAcl(acl: readonly Acl[]): readonly Acl[] {
  return acl.map(({ perms, id }) =>
    id.scheme === 'digest' ? { perms, id: { ...id, id: id.id.replace(/:.*/s, ':x') } } : { perms, id },
  );
}
