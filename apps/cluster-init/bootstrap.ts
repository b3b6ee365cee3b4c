import type { AccessControl, DigestAuth } from '../../libs/cluster/access.ts';
import { bootstrapTree, readMeta as readZooKeeperMeta } from '../../libs/cluster/bootstrap.ts';
import { retryOnLoss, whenConnected } from '../../libs/cluster/operations.ts';
import type { Paths } from '../../libs/cluster/paths.ts';
import { RecordError } from '../../libs/cluster/records.ts';
import { isZooKeeperError } from '../../libs/cluster/zookeeper.ts';
import type { ZooKeeper } from '../../libs/cluster/zookeeper.ts';
import { sleep } from '../../libs/core/clock.ts';
import type { Clock } from '../../libs/core/clock.ts';
import type { Random } from '../../libs/core/random.ts';
import { bootstrapDatabase, PartitionCountError } from '../../libs/db/bootstrap.ts';
import { withConnection } from '../../libs/db/client.ts';
import { migrate, MigrationError } from '../../libs/db/migrate.ts';
import { readMeta as readDatabaseMeta } from '../../libs/db/read-meta.ts';
import { StoreNotInitialisedError, StoreUnavailableError } from '../../libs/db/stores.ts';
import { StartupError } from '../../libs/runtime/app-process.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import { closeToOthers, refuseForeign } from './access.ts';
import { agree } from './agreement.ts';
import type { ClusterMeta } from './agreement.ts';

export interface BootstrapOptions {
  readonly databaseUrl: string;
  readonly zk: ZooKeeper & AccessControl;
  /** Of `zk`'s connection: nobody else is to change the cluster's znodes. */
  readonly auth?: DigestAuth | undefined;
  readonly paths: Paths;
  /** As configured. */
  readonly partitions: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly stopping: AbortSignal;
  /** How long to wait for each of Postgres and ZooKeeper, milliseconds. */
  readonly waitMs?: number;
}

const WAIT_MS = 60_000;
const TRY_EVERY_MS = 250;

/**
 * Makes a cluster out of a database and a ZooKeeper, or finds that it is one already and changes nothing. Looks
 * at both places before it touches either, and writes to the database first: a run that was cut off is
 * completed by the next one.
 *
 * @returns what both places hold now
 * @throws StartupError where they do not go together, belong to others, or one was not to be reached in time
 */
export async function bootstrap(options: BootstrapOptions): Promise<ClusterMeta> {
  const { databaseUrl: url, auth, paths, partitions, random, logger } = options;
  const { root } = paths;
  try {
    const inDatabase = await withPostgres(options, () => databaseMeta(url));
    const inZooKeeper = await withZooKeeper(options, (zk) => readZooKeeperMeta(zk, paths));
    const agreement = agree({ inDatabase, inZooKeeper, partitions, newUid: random.uuid() });
    if (agreement.kind === 'REFUSED') throw new StartupError(`${agreement.reason}. Nothing was changed`);

    await withZooKeeper(options, (zk) => refuseForeign({ zk, root, auth }));

    const migrations = await withPostgres(options, () => migrate({ url }));
    const meta = await withPostgres(options, () => bootstrapDatabase({ url, ...agreement.meta }));
    const znodes = await withZooKeeper(options, (zk) => bootstrapTree(zk, paths, meta));
    await withZooKeeper(options, (zk) => closeToOthers({ zk, root, auth, logger }));

    if (inDatabase !== null && inZooKeeper === null) logger.warn(`${paths.meta} restored from the database`);
    const changes = migrations.length + znodes.length === 0 ? 'nothing to change' : 'ready';
    logger.info(
      { uid: meta.uid, migrations, znodes: znodes.length },
      `${root}, ${meta.partitions} partitions: ${changes}`,
    );
    return meta;
  } catch (error) {
    const told = [MigrationError, PartitionCountError, RecordError].some((kind) => error instanceof kind);
    throw told ? new StartupError((error as Error).message, { cause: error }) : error;
  }
}

/** What the database says it belongs to; `null` for one that belongs to no cluster yet. */
function databaseMeta(url: string): Promise<ClusterMeta | null> {
  return withConnection(url, async (client) => {
    // Asked first, for a SELECT from a missing table would be an ERROR in the server's log at every first start.
    const { rows } = await client.query(`SELECT FROM pg_class WHERE oid = to_regclass('cluster_meta')`);
    if (rows.length === 0) return null;
    try {
      return await readDatabaseMeta(client);
    } catch (error) {
      if (error instanceof StoreNotInitialisedError) return null;
      throw error;
    }
  });
}

/** Runs `work`, again and again while Postgres cannot be reached. */
async function withPostgres<T>(options: BootstrapOptions, work: () => Promise<T>): Promise<T> {
  const { clock, logger, stopping, waitMs = WAIT_MS } = options;
  const deadlineMs = clock.monotonicMs() + waitMs;
  for (let said = false; ; said = true) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      if (stopping.aborted || clock.monotonicMs() >= deadlineMs) {
        throw new StartupError(`Postgres cannot be reached: ${error.message}`, { cause: error });
      }
      if (!said) logger.info(`waiting for Postgres: ${error.message}`);
    }
    await sleep(clock, TRY_EVERY_MS, stopping);
  }
}

/** Runs `work`, which must be harmless to repeat, once connected; again where a reply was lost. */
async function withZooKeeper<T>(
  options: BootstrapOptions,
  work: (zk: BootstrapOptions['zk']) => Promise<T>,
): Promise<T> {
  const { zk, clock, random, stopping, waitMs: timeoutMs = WAIT_MS } = options;
  try {
    // That it waits the connection says itself, with the address.
    await whenConnected(zk, { clock, timeoutMs, signal: stopping });
    return await retryOnLoss({ zk, clock, random, timeoutMs }, () => work(zk));
  } catch (error) {
    if (isZooKeeperError(error, 'NO_AUTH')) throw new StartupError(error.message, { cause: error });
    if (!isZooKeeperError(error, 'CONNECTION_LOSS')) throw error;
    throw new StartupError('ZooKeeper cannot be reached', { cause: error });
  }
}
