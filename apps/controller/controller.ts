import { readMeta } from '../../libs/cluster/bootstrap.ts';
import { runElection } from '../../libs/cluster/election.ts';
import type { Election, Leadership } from '../../libs/cluster/election.ts';
import type { Paths } from '../../libs/cluster/paths.ts';
import { watchData } from '../../libs/cluster/watch.ts';
import { isZooKeeperError } from '../../libs/cluster/zookeeper.ts';
import type { ZooKeeper } from '../../libs/cluster/zookeeper.ts';
import { backoffMs } from '../../libs/core/backoff.ts';
import { sleep } from '../../libs/core/clock.ts';
import type { Clock } from '../../libs/core/clock.ts';
import type { Random } from '../../libs/core/random.ts';
import { Wakeup } from '../../libs/core/wakeup.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import { Pipeline } from './pipeline.ts';
import type { PipelineTiming } from './pipeline.ts';

export interface ControllerOptions {
  readonly zk: ZooKeeper;
  readonly paths: Paths;
  /** Of this process, for whoever reads `/controller/leader`. */
  readonly id: string;
  readonly host: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly timing?: Partial<PipelineTiming>;
}

/** Looks at everything at least this often, should an event ever be missed. */
const LOOK_EVERY_MS = 3_000;
const RETRY_BACKOFF = { baseMs: 50, maxMs: 5_000 };

/**
 * One controller, until `stopping` is aborted; then it resigns. Does not close the session.
 *
 * ```
 *            /meta appears                 elected
 * WAITING ─────────────────▶ FOLLOWING ─────────────▶ LEADING
 *    ▲                        │  ▲                     │  │
 *    │ /meta is gone, or that │  └── superseded, lost ─┘  │
 *    └─── of another cluster ─┴───────────────────────────┘
 * ```
 * Candidacy is bound to the cluster's uid: after a wipe of ZooKeeper terms start again.
 */
export async function runController(options: ControllerOptions, stopping: AbortSignal): Promise<void> {
  const { zk, paths, clock, logger } = options;
  const wakeup = new Wakeup(clock);
  const wake = () => wakeup.notify();
  stopping.addEventListener('abort', wake);
  const watch = watchData({ zk, clock, logger, path: paths.meta, onChange: wake });

  let guid: string | undefined;
  let candidacy: { uid: string; election: Election } | undefined;
  let saidMissing = false;
  while (!stopping.aborted) {
    const uid = await uidOf(options);
    if (uid !== undefined && uid !== candidacy?.uid) {
      await candidacy?.election.stop();
      candidacy = undefined;
      if (uid !== null) {
        const onLead = (leadership: Leadership) => lead(options, leadership);
        guid ??= options.random.uuid();
        candidacy = { uid, election: runElection({ ...options, guid, onLead }) };
      } else if (!saidMissing) logger.warn(`${paths.meta} is missing: waiting for cluster-init`);
      saidMissing = uid === null;
    }
    await wakeup.wait(LOOK_EVERY_MS);
  }
  watch.close();
  await candidacy?.election.stop();
}

/** The cluster's uid, `null` where cluster-init has not been, `undefined` where that cannot be told now. */
async function uidOf({ zk, paths, logger }: ControllerOptions): Promise<string | null | undefined> {
  try {
    return (await readMeta(zk, paths))?.uid ?? null;
  } catch (error) {
    if (!isZooKeeperError(error, 'CONNECTION_LOSS', 'SESSION_EXPIRED')) {
      logger.error({ err: error }, `cannot read ${paths.meta}`);
    }
    return undefined;
  }
}

/** Leads for one term: events only wake, and each run of the pipeline acts on a fresh snapshot. */
async function lead(options: ControllerOptions, leadership: Leadership): Promise<void> {
  const { clock, random, logger } = options;
  const wakeup = new Wakeup(clock);
  const wake = () => wakeup.notify();
  leadership.lost.addEventListener('abort', wake);
  const pipeline = new Pipeline({ ...options, leadership, watcher: wake });
  let failures = 0;
  let lastFault: string | undefined;
  while (leadership.valid()) {
    try {
      const { outcome, runAgainInMs } = await pipeline.run();
      if (outcome === 'SUPERSEDED' || outcome === 'UNINITIALISED') return;
      if (outcome === 'PUBLISHED' || outcome === 'SETTLED') {
        failures = 0;
        lastFault = undefined;
        await wakeup.wait(Math.min(runAgainInMs, LOOK_EVERY_MS));
        continue;
      }
    } catch (error) {
      const fault = (error as Error).message;
      const expected = isZooKeeperError(error, 'CONNECTION_LOSS', 'SESSION_EXPIRED');
      if (!expected && fault !== lastFault)
        logger.error({ err: error }, 'cannot assign partitions; trying on');
      lastFault = fault;
    }
    await sleep(clock, backoffMs(failures++, random, RETRY_BACKOFF), leadership.lost);
  }
}
