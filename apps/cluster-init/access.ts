import { accessOf, closeZnodes } from '../../libs/cluster/access.ts';
import type { AccessControl, DigestAuth } from '../../libs/cluster/access.ts';
import type { ZooKeeper } from '../../libs/cluster/zookeeper.ts';
import { StartupError } from '../../libs/runtime/app-process.ts';
import type { Logger } from '../../libs/runtime/logger.ts';

export interface AccessOptions {
  readonly zk: ZooKeeper & AccessControl;
  /** The cluster's root znode. */
  readonly root: string;
  readonly auth: DigestAuth | undefined;
  readonly logger: Logger;
}

/** @throws StartupError where znodes of the cluster belong to other credentials: which, and whose */
export async function refuseForeign({ zk, root, auth }: Omit<AccessOptions, 'logger'>): Promise<void> {
  const { foreign } = await accessOf(zk, root, auth);
  const [first] = foreign;
  if (first === undefined) return;
  const users = first.users.join(', ');
  const whose =
    auth === undefined
      ? `credentials, and ZOOKEEPER_AUTH is not set: it is to be ${users}:password`
      : `others than ZOOKEEPER_AUTH: to ${users}${first.users.includes(auth.user) ? ' with another password' : `, not ${auth.user}`}`;
  throw new StartupError(`${foreign.length} znodes, ${first.path} first, are reserved to ${whose}`);
}

/** Closes what was created before there were credentials to others. */
export async function closeToOthers({ zk, root, auth, logger }: AccessOptions): Promise<void> {
  if (auth === undefined) return;
  const closed = await closeZnodes(zk, (await accessOf(zk, root, auth)).open);
  if (closed.length > 0) {
    logger.warn(
      `${root} was open to everyone: ${closed.length} znodes are reserved to ZOOKEEPER_AUTH from now on. Processes that run without it cannot write any more: restart them with it`,
    );
  }
}
