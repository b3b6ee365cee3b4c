import { backoffMs } from '../core/backoff.ts';
import { sleep } from '../core/clock.ts';
import type { Clock } from '../core/clock.ts';
import { invariant } from '../core/invariant.ts';
import type { Random } from '../core/random.ts';
import { Wakeup } from '../core/wakeup.ts';
import type { Logger } from '../runtime/logger.ts';
import { CandidateLine } from './candidate-line.ts';
import { sessionHistory } from './operations.ts';
import type { Connected, SessionHistory } from './operations.ts';
import type { Paths } from './paths.ts';
import { leaderCodec, termCodec } from './records.ts';
import { ZooKeeperError, isZooKeeperError } from './zookeeper.ts';
import type { Op, Stat, Watcher, ZooKeeper } from './zookeeper.ts';

export interface Leadership {
  /** The version of the term's znode as this leader has set it; every write of the leader checks it. */
  readonly term: number;
  /** Whether it still holds at this very moment. To be asked synchronously before each side effect. */
  readonly valid: () => boolean;
  /** Aborted when it ends. Late after a pause of the process, so `valid` is asked besides. */
  readonly lost: AbortSignal;
}

export interface ElectionOptions {
  readonly zk: ZooKeeper;
  readonly paths: Paths;
  /** Of this process, for whoever reads `/controller/leader`. */
  readonly id: string;
  readonly host: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Tells this process' places in line from those of others; the same for each candidacy of one session. */
  readonly guid: string;
  /**
   * Leads. Must settle soon after `lost` is aborted: nobody is made leader by this process before. When it
   * settles on its own (a write was refused, say), the leadership is resigned and sought again a little later.
   */
  readonly onLead: (leadership: Leadership) => Promise<void>;
}

export interface Election {
  /** Resigns, so that another leads at once, and resolves when that is done. Does not close the session. */
  stop(): Promise<void>;
}

/**
 * Takes part in the election of the one leader, until stopped.
 *
 * ```ts
 * const election = runElection({
 *   zk, paths, id: 'controller-1', guid: random.uuid(), host: hostname(), clock, random, logger,
 *   onLead: async ({ term, valid, lost }) => {
 *     while (!lost.aborted) {
 *       const plan = await readAndPlan();
 *       if (valid()) await zk.multi([{ op: 'check', path: paths.term, version: term }, ...writes(plan)]);
 *       await wakeup.wait(1000);
 *     }
 *   },
 * });
 * …
 * await election.stop();
 * ```
 *
 * The recipe is ZooKeeper's own ("ZooKeeper Recipes and Solutions", leader election): each candidate has an
 * ephemeral sequential znode and watches its predecessor only, so a leader's end wakes one candidate and not
 * all. The lowest then makes itself leader by one multi: its ephemeral `/controller/leader`, and a compare and
 * set of `/controller/term`, whose new version is the term. That write is also the new leader's read barrier.
 *
 * Only the term makes it safe. An old leader that does not know yet that it is one finds its writes refused.
 */
export function runElection(options: ElectionOptions): Election {
  const candidate = new Candidate(options);
  const finished = candidate.run();
  return {
    stop: () => {
      candidate.resign();
      return finished;
    },
  };
}

/** Looks again at least this often, should an event ever be missed. */
const RECHECK_MS = 3_000;
const RETRY_BACKOFF = { baseMs: 100, maxMs: 5_000 };
/** Between a leadership of ours and the next, so that a leader that fails at once does not spin. */
const REJOIN_BACKOFF = { baseMs: 1_000, maxMs: 1_000 };
/** How long `onLead` may take to settle before the others stop waiting for it. */
const STEP_DOWN_MS = 2_000;

/**
 * ```
 *           join               first in line             multi
 * OUTSIDE ───────▶ CANDIDATE ─────────────────▶ FIRST ──────────▶ LEADING
 *    ▲                 │ session over             │ someone else's   │ SUSPENDED, LOST, resigned, onLead
 *    └─────────────────┴──────────────────────────┘ leader: waits    │ settled, leader znode gone
 *    └───────────────────────────────────────────────────────────────┘
 * ```
 * Nothing but the leadership itself is kept between two looks: each look reads what ZooKeeper has and makes
 * the one step that follows from it. That also settles lost answers. If that of the multi was lost, the next
 * look finds a leader znode of our own session and replaces it, under one more term.
 */
class Candidate {
  readonly #options: ElectionOptions;
  readonly #wakeup: Wakeup;
  readonly #wake: Watcher = () => this.#wakeup.notify();
  readonly #sessions: SessionHistory;
  readonly #line: CandidateLine;
  readonly #stopped = new AbortController();
  #failures = 0;
  #lastFault: string | undefined;

  constructor(options: ElectionOptions) {
    this.#options = options;
    this.#wakeup = new Wakeup(options.clock);
    this.#sessions = sessionHistory(options.zk);
    this.#line = new CandidateLine(options);
  }

  resign(): void {
    this.#stopped.abort();
    this.#wakeup.notify();
  }

  async run(): Promise<void> {
    const { zk, clock, random } = this.#options;
    const stop = this.#stopped.signal;
    const unsubscribe = zk.onState(() => this.#wakeup.notify());
    while (!stop.aborted) {
      try {
        const look = await this.#look();
        this.#failures = 0;
        this.#lastFault = undefined;
        if (look === 'WAIT') await this.#wakeup.wait(RECHECK_MS);
        if (look === 'LED') await sleep(clock, backoffMs(0, random, REJOIN_BACKOFF), stop);
      } catch (error) {
        this.#report(error);
        await sleep(clock, backoffMs(this.#failures++, random, RETRY_BACKOFF), stop);
      }
    }
    await this.#line.withdraw(this.#sessions);
    unsubscribe();
    this.#sessions.close();
  }

  /** One step. @returns whether to look again at once, to wait for an event, or that we have led and do no more */
  async #look(): Promise<'AGAIN' | 'WAIT' | 'LED'> {
    const { zk, paths } = this.#options;
    const session = zk.state;
    if (session.kind !== 'CONNECTED') return 'WAIT';

    const place = await this.#line.place(session);
    if (place === undefined) {
      await this.#line.join(session);
      return 'AGAIN';
    }
    // Only the first in line is woken by the leader's end.
    const watcher = place.predecessor === undefined ? this.#wake : undefined;
    const leader = await zk.exists(paths.leader, watcher);
    const ours = leader !== null && this.#sessions.has(leader.ephemeralOwner);
    if (place.predecessor !== undefined) {
      // Left by a leadership of ours whose withdrawal was lost, and whose place in line somebody took: the first
      // in line would wait for it, and we for the first. One of a session before this one goes with that session.
      if (leader?.ephemeralOwner === session.sessionId) await this.#removeLeader(leader);
      return (await this.#watched(place.predecessor)) ? 'WAIT' : 'AGAIN';
    }
    if (leader !== null && !ours) return 'WAIT';
    const term = await this.#take(leader);
    if (term === undefined) return 'AGAIN';
    await this.#lead(session, term);
    return 'LED';
  }

  async #removeLeader({ version }: Stat): Promise<void> {
    const { zk, paths } = this.#options;
    try {
      await zk.delete(paths.leader, version);
    } catch (error) {
      if (!isZooKeeperError(error, 'NO_NODE')) throw error;
    }
  }

  /** Sets a watch on `path`; `false` where it is gone. By getData, which leaves no watch on what is not there. */
  async #watched(path: string): Promise<boolean> {
    try {
      await this.#options.zk.getData(path, this.#wake);
      return true;
    } catch (error) {
      if (isZooKeeperError(error, 'NO_NODE')) return false;
      throw error;
    }
  }

  /**
   * Makes this process the leader, in place of `old`, a leader znode of our own.
   * @returns the term, or `undefined` where what was read is out of date
   */
  async #take(old: Stat | null): Promise<number | undefined> {
    const { zk, paths, id, host, clock, random } = this.#options;
    const { stat } = await zk.getData(paths.term);
    const leader = leaderCodec.encode({ id, host, sinceMs: clock.wallMs() });
    const term = termCodec.encode({ leader: id, operation: random.uuid() });
    const ops: Op[] = [
      { op: 'create', path: paths.leader, data: leader, mode: 'EPHEMERAL' },
      { op: 'setData', path: paths.term, data: term, version: stat.version },
    ];
    if (old !== null) ops.unshift({ op: 'delete', path: paths.leader, version: old.version });
    try {
      const result = (await zk.multi(ops)).at(-1);
      invariant(result?.op === 'setData', 'the last operation sets the term');
      return result.stat.version;
    } catch (error) {
      if (isZooKeeperError(error, 'NODE_EXISTS', 'NO_NODE', 'BAD_VERSION')) return undefined;
      throw error;
    }
  }

  async #lead(session: Connected, term: number): Promise<void> {
    if (this.#stopped.signal.aborted) return;
    const { zk, logger, onLead } = this.#options;
    const lost = new AbortController();
    const end = () => {
      lost.abort();
      this.#wakeup.notify();
    };
    // Any transition ends it: CONNECTED, where we are, can only be entered again through another state.
    const unsubscribe = zk.onState(end);
    this.#stopped.signal.addEventListener('abort', end);
    const valid = () => !lost.signal.aborted && zk.leaseValid();
    logger.info({ term }, 'leading');
    const leading = onLead({ term, valid, lost: lost.signal })
      .catch((error: unknown) => logger.error({ err: error, term }, 'leading failed'))
      .finally(end);
    while (!lost.signal.aborted) {
      if (await this.#holdsLeader(session)) await this.#wakeup.wait(RECHECK_MS);
      else lost.abort();
    }
    unsubscribe();
    this.#stopped.signal.removeEventListener('abort', end);
    logger.info({ term }, 'no longer leading');
    await this.#stepDown(leading);
  }

  /** Whether the leader znode is still ours; wakes when that may change. */
  async #holdsLeader({ sessionId }: Connected): Promise<boolean> {
    const { zk, paths } = this.#options;
    try {
      return (await zk.exists(paths.leader, this.#wake))?.ephemeralOwner === sessionId;
    } catch (error) {
      this.#report(error);
      return false;
    }
  }

  /** Lets `leading` come to its end, and lets the others go on without it where that takes long. */
  async #stepDown(leading: Promise<void>): Promise<void> {
    const { clock, logger } = this.#options;
    const settled = new AbortController();
    const settling = leading.finally(() => settled.abort());
    for (let warned = false; ; warned = true) {
      await sleep(clock, STEP_DOWN_MS, settled.signal);
      await this.#line.withdraw(this.#sessions);
      if (settled.signal.aborted) return settling;
      if (!warned)
        logger.error('the leader that was goes on working: not standing for election until it ends');
    }
  }

  /** Says what is wrong, once; a lost connection is reported by the connection. */
  #report(error: unknown): void {
    if (isZooKeeperError(error, 'CONNECTION_LOSS', 'SESSION_EXPIRED')) return;
    if (!(error instanceof ZooKeeperError)) throw error;
    const { code, message } = error;
    if (message === this.#lastFault) return;
    this.#lastFault = message;
    const hint = code === 'NO_NODE' ? ': is the cluster initialised?' : '';
    this.#options.logger.warn(`cannot stand for election: ${message}${hint}`);
  }
}
