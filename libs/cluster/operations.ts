/**
 * Operations that may be tried again. CONNECTION_LOSS leaves open whether the server has done what it was
 * asked, so each kind has its own way to find out; a multi has none that fits all and is never tried again here.
 */
import { backoffMs } from '../core/backoff.ts';
import { sleep } from '../core/clock.ts';
import type { Clock } from '../core/clock.ts';
import type { Random } from '../core/random.ts';
import { ZooKeeperError, isZooKeeperError } from './zookeeper.ts';
import type { ConnectionState, Stat, ZooKeeper } from './zookeeper.ts';

export interface RetryOptions {
  readonly zk: ZooKeeper;
  readonly clock: Clock;
  readonly random: Random;
  /** How long to go on over lost connections before the CONNECTION_LOSS is the caller's. */
  readonly timeoutMs?: number;
}

export type Connected = Extract<ConnectionState, { kind: 'CONNECTED' }>;

const RETRY_TIMEOUT_MS = 10_000;
const RETRY_BACKOFF = { baseMs: 20, maxMs: 1_000 };

/**
 * Resolves with the state once it is CONNECTED.
 * @throws ZooKeeperError CONNECTION_LOSS after `timeoutMs` or when `signal` is aborted; SESSION_EXPIRED once closed
 */
export async function whenConnected(
  zk: ZooKeeper,
  options: { readonly clock: Clock; readonly timeoutMs: number; readonly signal?: AbortSignal },
): Promise<Connected> {
  const settled = new AbortController();
  const settle = () => settled.abort();
  const unsubscribe = zk.onState(({ kind }) => {
    if (kind === 'CONNECTED' || kind === 'CLOSED') settle();
  });
  options.signal?.addEventListener('abort', settle, { once: true });
  const waiting = zk.state.kind !== 'CONNECTED' && zk.state.kind !== 'CLOSED' && !options.signal?.aborted;
  if (waiting) await sleep(options.clock, options.timeoutMs, settled.signal);
  options.signal?.removeEventListener('abort', settle);
  unsubscribe();

  const { state } = zk;
  if (state.kind === 'CONNECTED') return state;
  throw new ZooKeeperError(state.kind === 'CLOSED' ? 'SESSION_EXPIRED' : 'CONNECTION_LOSS', 'connect');
}

/**
 * Runs `attempt`, and again while it ends in CONNECTION_LOSS: after a backoff, once connected, until
 * `timeoutMs` have passed. `attempt` is told whether an earlier one may have been applied.
 */
export async function retryOnLoss<T>(
  options: RetryOptions,
  attempt: (mayBeApplied: boolean, state: Connected) => Promise<T>,
): Promise<T> {
  const { zk, clock, random, timeoutMs = RETRY_TIMEOUT_MS } = options;
  const deadlineMs = clock.monotonicMs() + timeoutMs;
  for (let retry = 0; ; retry += 1) {
    const state = await whenConnected(zk, {
      clock,
      timeoutMs: Math.max(0, deadlineMs - clock.monotonicMs()),
    });
    try {
      return await attempt(retry > 0, state);
    } catch (error) {
      if (!isZooKeeperError(error, 'CONNECTION_LOSS') || clock.monotonicMs() >= deadlineMs) throw error;
    }
    await sleep(clock, backoffMs(retry, random, RETRY_BACKOFF));
  }
}

/** Deletes `path`. NO_NODE is success where an earlier attempt may have done it. */
export function deleteNode(options: RetryOptions, path: string, version: number): Promise<void> {
  return retryOnLoss(options, async (mayBeApplied) => {
    try {
      await options.zk.delete(path, version);
    } catch (error) {
      if (!(mayBeApplied && isZooKeeperError(error, 'NO_NODE'))) throw error;
    }
  });
}

/**
 * Creates an ephemeral znode of the current session. One that is there already is success where it is this
 * session's, and is made anew where it is that of a `previous` session of ours that the server has not expired yet.
 *
 * @throws ZooKeeperError NODE_EXISTS where it is someone else's; SESSION_EXPIRED where the session ended meanwhile
 */
export function createEphemeral(
  options: RetryOptions & { readonly previous?: { has(sessionId: bigint): boolean } },
  path: string,
  data: Buffer,
): Promise<void> {
  const { zk, previous } = options;
  return inOneSession(options, 'create', path, async ({ sessionId }) => {
    try {
      await zk.create(path, data, 'EPHEMERAL');
    } catch (error) {
      if (!isZooKeeperError(error, 'NODE_EXISTS')) throw error;
      const there = await zk.exists(path);
      if (there?.ephemeralOwner === sessionId) return;
      if (there !== null && previous?.has(there.ephemeralOwner) !== true) throw error;
      if (there !== null) await zk.delete(path, there.version);
      await zk.create(path, data, 'EPHEMERAL');
    }
  });
}

/**
 * Creates `<parent>/<prefix><guid>-<sequence>`, ephemeral, of the current session. The guid makes it findable
 * where the answer was lost, so that no ghost of a lost attempt stays in a queue (Curator's protection).
 *
 * @returns the path created
 * @throws ZooKeeperError SESSION_EXPIRED where the session ended meanwhile
 */
export function createProtectedSequential(
  options: RetryOptions,
  { parent, prefix, guid, data }: { parent: string; prefix: string; guid: string; data: Buffer },
): Promise<string> {
  const { zk } = options;
  return inOneSession(options, 'create', parent, async (_session, mayBeApplied) => {
    if (mayBeApplied) {
      const { children } = await zk.getChildren(parent);
      const made = children.find((child) => child.startsWith(`${prefix}${guid}-`));
      if (made !== undefined) return `${parent}/${made}`;
    }
    return zk.create(`${parent}/${prefix}${guid}-`, data, 'EPHEMERAL_SEQUENTIAL');
  });
}

/**
 * Replaces the data of `path` at `version`. `data` must hold something no other write holds (an operation id):
 * where an answer was lost, finding it at the next version tells that the write was applied.
 *
 * @throws ZooKeeperError BAD_VERSION where another write came first
 */
export function setDataAt(options: RetryOptions, path: string, data: Buffer, version: number): Promise<Stat> {
  const { zk } = options;
  return retryOnLoss(options, async (mayBeApplied) => {
    try {
      return await zk.setData(path, data, version);
    } catch (error) {
      if (!(mayBeApplied && isZooKeeperError(error, 'BAD_VERSION'))) throw error;
      const found = await zk.getData(path);
      if (found.stat.version === version + 1 && found.data.equals(data)) return found.stat;
      throw error;
    }
  });
}

/** Creates `path` and what is missing above it, persistent and empty. What is there stays as it is. */
export async function ensurePath(options: RetryOptions, path: string): Promise<void> {
  const names = path.split('/').slice(1);
  for (let depth = 1; depth <= names.length; depth += 1) {
    await ensureNode(options, `/${names.slice(0, depth).join('/')}`, Buffer.alloc(0));
  }
}

/** Creates `path` with `data` unless there is one. Returns whether it was created, as far as can be known. */
export function ensureNode(options: RetryOptions, path: string, data: Buffer): Promise<boolean> {
  return retryOnLoss(options, async () => {
    try {
      await options.zk.create(path, data, 'PERSISTENT');
      return true;
    } catch (error) {
      if (isZooKeeperError(error, 'NODE_EXISTS')) return false;
      throw error;
    }
  });
}

/** As {@link retryOnLoss}, for what belongs to one session: does not go on in the next one. */
function inOneSession<T>(
  options: RetryOptions,
  operation: string,
  path: string,
  attempt: (session: Connected, mayBeApplied: boolean) => Promise<T>,
): Promise<T> {
  let epoch: number | undefined;
  return retryOnLoss(options, async (mayBeApplied, state) => {
    epoch ??= state.epoch;
    if (state.epoch !== epoch) throw new ZooKeeperError('SESSION_EXPIRED', operation, path);
    return attempt(state, mayBeApplied);
  });
}

/** The sessions a connection has had, the latest 64 of them. */
export interface SessionHistory {
  has(sessionId: bigint): boolean;
  close(): void;
}

const MAX_HISTORY = 64;

/**
 * Remembers the sessions of `zk` from now on. A session lost by our own clock may still live at the server;
 * its ephemerals, found by their owner, are our own to remove.
 */
export function sessionHistory(zk: ZooKeeper): SessionHistory {
  const sessions = new Set<bigint>();
  const remember = (state: ConnectionState) => {
    if (state.kind !== 'CONNECTED') return;
    sessions.add(state.sessionId);
    const [oldest] = sessions;
    if (sessions.size > MAX_HISTORY && oldest !== undefined) sessions.delete(oldest);
  };
  remember(zk.state);
  const unsubscribe = zk.onState(remember);
  return { has: (sessionId) => sessions.has(sessionId), close: unsubscribe };
}
