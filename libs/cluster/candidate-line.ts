import type { Clock } from '../core/clock.ts';
import type { Random } from '../core/random.ts';
import type { Logger } from '../runtime/logger.ts';
import { createProtectedSequential } from './operations.ts';
import type { Connected, SessionHistory } from './operations.ts';
import type { Paths } from './paths.ts';
import { isZooKeeperError } from './zookeeper.ts';
import type { ZooKeeper } from './zookeeper.ts';

/** How long to wait for a lost connection in the midst of joining; a stop waits no longer than that. */
const JOIN_TIMEOUT_MS = 1_000;

export interface CandidateLineOptions {
  readonly zk: ZooKeeper;
  readonly paths: Paths;
  readonly id: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /**
   * Tells this process' places in line from those of others. The same for each candidacy of a process: a place whose
   * withdrawal was lost lasts as long as the session, and whoever did not know it for its own would wait behind it.
   */
  readonly guid: string;
}

/**
 * Who stands for election, in order: the ephemeral sequential znodes under `/controller/election`. Ours are
 * named `c-<guid>-<epoch>-<sequence>`, the epoch being that of the session, so one that an earlier session of
 * ours has left is known by its name.
 */
export class CandidateLine {
  readonly #options: CandidateLineOptions;
  readonly #prefix: string;

  constructor(options: CandidateLineOptions) {
    this.#options = options;
    this.#prefix = `c-${options.guid}-`;
  }

  /**
   * Where this session stands, `undefined` where it does not; `predecessor` is the path of the one in front.
   * Removes what our earlier sessions have left.
   */
  async place({ epoch }: Connected): Promise<{ predecessor: string | undefined } | undefined> {
    const { zk, paths } = this.#options;
    const { children } = await zk.getChildren(paths.election);
    const ours = `${this.#prefix}${epoch}-`;
    const line: string[] = [];
    for (const name of children) {
      const ghost = name.startsWith(this.#prefix) && !name.startsWith(ours);
      if (ghost) await this.#remove(`${paths.election}/${name}`);
      else line.push(name);
    }
    line.sort((a, b) => sequenceOf(a) - sequenceOf(b));
    const own = line.findIndex((name) => name.startsWith(ours));
    if (own < 0) return undefined;
    const predecessor = line[own - 1];
    return { predecessor: predecessor === undefined ? undefined : `${paths.election}/${predecessor}` };
  }

  /** Goes to the end of the line. */
  async join({ epoch }: Connected): Promise<void> {
    const { zk, paths, clock, random, id } = this.#options;
    await createProtectedSequential(
      { zk, clock, random, timeoutMs: JOIN_TIMEOUT_MS },
      { parent: paths.election, prefix: this.#prefix, guid: String(epoch), data: Buffer.from(id) },
    );
  }

  /** Leaves the line, and takes a leader znode of our `sessions` away too, so that the next leads at once. */
  async withdraw(sessions: SessionHistory): Promise<void> {
    const { zk, paths, logger } = this.#options;
    try {
      const { children } = await zk.getChildren(paths.election);
      const own = children.filter((name) => name.startsWith(this.#prefix));
      const withdrawn = own.map((name) => `${paths.election}/${name}`);
      const leader = await zk.exists(paths.leader);
      if (leader !== null && sessions.has(leader.ephemeralOwner)) withdrawn.push(paths.leader);
      await zk.multi(withdrawn.map((path) => ({ op: 'delete', path, version: -1 })));
    } catch (error) {
      // What is left goes with the session.
      logger.debug({ err: error }, 'could not withdraw from the election');
    }
  }

  async #remove(path: string): Promise<void> {
    try {
      await this.#options.zk.delete(path, -1);
    } catch (error) {
      if (!isZooKeeperError(error, 'NO_NODE')) throw error;
    }
  }
}

/** The sequence number a candidate's name ends in. */
function sequenceOf(name: string): number {
  return Number(name.slice(name.lastIndexOf('-') + 1));
}
