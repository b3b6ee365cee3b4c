/** ZooKeeper's error numbers (`KeeperException.Code`) and the port's names for them. */
import Exception from 'node-zookeeper-client/lib/Exception.js';
import { ZooKeeperError } from './zookeeper.ts';
import type { ZooKeeperErrorCode } from './zookeeper.ts';

const NAMES = new Map<number, ZooKeeperErrorCode>([
  [-4, 'CONNECTION_LOSS'],
  [-7, 'OPERATION_TIMEOUT'],
  [-8, 'BAD_ARGUMENTS'],
  [-101, 'NO_NODE'],
  [-102, 'NO_AUTH'],
  [-103, 'BAD_VERSION'],
  [-108, 'NO_CHILDREN_FOR_EPHEMERALS'],
  [-110, 'NODE_EXISTS'],
  [-111, 'NOT_EMPTY'],
  [-112, 'SESSION_EXPIRED'],
  [-114, 'INVALID_ACL'],
  [-115, 'AUTH_FAILED'],
  // The session has moved to another server; this one drops the connection, and the client finds the other.
  [-118, 'CONNECTION_LOSS'],
]);

/** The error of an operation the server, or the client on its behalf, refused with `code`. */
export function errorOfCode(
  code: number,
  operation: string,
  path?: string,
  detail?: { opIndex?: number },
): ZooKeeperError {
  const name = NAMES.get(code);
  if (name !== undefined) {
    const message = name === 'NO_AUTH' ? 'NO_AUTH: reserved to other credentials (ZOOKEEPER_AUTH)' : name;
    return new ZooKeeperError(name, operation, path, { ...detail, message });
  }
  return new ZooKeeperError('OTHER', operation, path, { ...detail, message: `ZooKeeper error ${code}` });
}

const createKnown = Exception.create;

/**
 * Makes the package's exception factory accept any code. As shipped it throws for one it does not know
 * (a quota exceeded, a request throttled), inside the socket's handler, which ends the process.
 * The factory is shared by the whole package, so this is the one thing mended globally; idempotent.
 */
export function acceptUnknownCodes(): void {
  Exception.create = (code, path) => {
    try {
      return createKnown(code, path);
    } catch {
      return Object.assign(new Error(`ZooKeeper error ${code}`), { code, getCode: () => code });
    }
  };
}
