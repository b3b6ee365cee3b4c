import { closeTree } from '../../libs/cluster/access.ts';
import type { AccessControl, DigestAuth } from '../../libs/cluster/access.ts';
import { retryOnLoss } from '../../libs/cluster/operations.ts';
import type { ZooKeeper } from '../../libs/cluster/zookeeper.ts';
import type { Clock } from '../../libs/core/clock.ts';
import type { Random } from '../../libs/core/random.ts';
import { StartupError } from '../../libs/runtime/app-process.ts';
import type { Logger } from '../../libs/runtime/logger.ts';

export interface AccessOptions {
  readonly zk: ZooKeeper & AccessControl;
  /** The cluster's root znode. */
  readonly root: string;
  readonly auth: DigestAuth | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/**
 * Holds the cluster's znodes to `auth`: what was created before there were credentials is closed to others now.
 * @throws StartupError where they belong to other credentials
 */
export async function settleAccess({ zk, root, auth, clock, random, logger }: AccessOptions): Promise<void> {
  const { closed, foreign } = await retryOnLoss({ zk, clock, random }, () => closeTree(zk, root, auth));
  if (foreign.length > 0) {
    const whose =
      auth === undefined ? 'credentials, and ZOOKEEPER_AUTH is not set' : 'others than ZOOKEEPER_AUTH';
    throw new StartupError(`${foreign.length} znodes, ${foreign[0]} first, are reserved to ${whose}`);
  }
  if (closed.length > 0) {
    logger.warn(
      `${root} was open to everyone: ${closed.length} znodes are reserved to ZOOKEEPER_AUTH from now on. Processes that run without it cannot write any more: restart them with it`,
    );
  }
}
