/**
 * Checks a write against the tree and makes the change of it, as ZooKeeper's PrepRequestProcessor does: in its
 * order, since the first fault found is the one the client is told.
 */
import { requirePermission, resolveAcl } from './acl.ts';
import type { DataTree, ReadonlyZnode } from './data-tree.ts';
import { isSystemPath } from './data-tree.ts';
import { isValidPath, parentOf } from './path.ts';
import type { Id, Request } from './protocol.ts';
import { CreateFlag, OperationRefused, Perms } from './protocol.ts';
import type { TreeChange } from './transaction.ts';

export type Write = Extract<Request, { type: 'create' | 'delete' | 'setData' | 'check' | 'setACL' }>;

export interface Writer {
  readonly sessionId: bigint;
  readonly identities: readonly Id[];
}

const ANY_VERSION = -1;

/**
 * @returns the change that carries out `write`; `undefined` for a check, which changes nothing
 * @throws OperationRefused
 */
export function prepare(tree: DataTree, write: Write, writer: Writer): TreeChange | undefined {
  const { path } = write;
  switch (write.type) {
    case 'create':
      return prepareCreate(tree, write, writer);
    case 'delete': {
      if (!path.includes('/') || isSystemPath(path)) throw new OperationRefused('BAD_ARGUMENTS');
      requirePermission(find(tree, parentOf(path)).acl, Perms.DELETE, writer.identities);
      const znode = find(tree, path);
      requireVersion(znode.version, write.version);
      if (znode.children.size > 0) throw new OperationRefused('NOT_EMPTY');
      return { type: 'delete', path };
    }
    case 'setData': {
      const znode = findValid(tree, path);
      requirePermission(znode.acl, Perms.WRITE, writer.identities);
      requireVersion(znode.version, write.version);
      return { type: 'setData', path, data: write.data };
    }
    case 'setACL': {
      if (!isValidPath(path)) throw new OperationRefused('BAD_ARGUMENTS');
      const acl = resolveAcl(write.acl, writer.identities);
      const znode = find(tree, path);
      requirePermission(znode.acl, Perms.ADMIN, writer.identities);
      requireVersion(znode.aversion, write.version);
      return { type: 'setACL', path, acl };
    }
    case 'check': {
      const znode = findValid(tree, path);
      requirePermission(znode.acl, Perms.READ, writer.identities);
      requireVersion(znode.version, write.version);
      return undefined;
    }
  }
}

function prepareCreate(tree: DataTree, write: Write & { type: 'create' }, writer: Writer): TreeChange {
  const { flags, data } = write;
  if (flags < 0 || flags > 6) throw new OperationRefused('BAD_ARGUMENTS');
  if (flags > (CreateFlag.EPHEMERAL | CreateFlag.SEQUENTIAL)) throw new OperationRefused('UNIMPLEMENTED');
  if (!write.path.includes('/')) throw new OperationRefused('BAD_ARGUMENTS');
  const acl = resolveAcl(write.acl, writer.identities);
  const parent = find(tree, parentOf(write.path));
  requirePermission(parent.acl, Perms.CREATE, writer.identities);
  const sequence = (flags & CreateFlag.SEQUENTIAL) !== 0 ? String(parent.creates).padStart(10, '0') : '';
  const path = write.path + sequence;
  if (!isValidPath(path)) throw new OperationRefused('BAD_ARGUMENTS');
  if (tree.find(path) !== undefined) throw new OperationRefused('NODE_EXISTS');
  if (parent.ephemeralOwner !== 0n) throw new OperationRefused('NO_CHILDREN_FOR_EPHEMERALS');
  const ephemeralOwner = (flags & CreateFlag.EPHEMERAL) !== 0 ? writer.sessionId : 0n;
  return { type: 'create', path, data, acl, ephemeralOwner };
}

/** @throws OperationRefused NO_NODE */
export function find(tree: DataTree, path: string): ReadonlyZnode {
  const znode = tree.find(path);
  if (znode === undefined) throw new OperationRefused('NO_NODE');
  return znode;
}

function findValid(tree: DataTree, path: string): ReadonlyZnode {
  if (!isValidPath(path)) throw new OperationRefused('BAD_ARGUMENTS');
  return find(tree, path);
}

function requireVersion(actual: number, expected: number): void {
  if (expected !== ANY_VERSION && expected !== actual) throw new OperationRefused('BAD_VERSION');
}
