import type { Leadership } from '../../libs/cluster/election.ts';
import type { Paths } from '../../libs/cluster/paths.ts';
import { grantsCodec, MAX_ZNODE_BYTES, modeCodec, planCodec } from '../../libs/cluster/records.ts';
import type { Mode, Plan } from '../../libs/cluster/records.ts';
import { isZooKeeperError } from '../../libs/cluster/zookeeper.ts';
import type { Op, ZooKeeper } from '../../libs/cluster/zookeeper.ts';
import type { PlanState, Transition } from '../../libs/core/transition.ts';
import { aged, packAges } from './ages.ts';
import type { Snapshot } from './snapshot.ts';

/**
 * `SUPERSEDED`: another term has begun, or this one can no longer be assumed; nothing more was written.
 * `STALE`: what the writes depended on has changed; read again. `UNKNOWN`: the reply was lost; read again.
 */
export type PublishResult = 'PUBLISHED' | 'SUPERSEDED' | 'STALE' | 'UNKNOWN';

export interface PublishRequest {
  readonly zk: ZooKeeper;
  readonly paths: Paths;
  readonly leadership: Leadership;
  readonly snapshot: Snapshot;
  readonly next: Transition;
  /** The mode, where the controller itself changes it. */
  readonly mode?: Mode;
  /** For the reader of the plan: who is in quarantine, each with the wall time of its end. */
  readonly quarantined?: ReadonlyMap<string, number>;
  /** Ids whose grants and wishes are no longer needed. */
  readonly retired: readonly string[];
  /** Names of instances whose farewells have been taken note of. */
  readonly farewells?: readonly string[];
  /** Unique; stands in the plan, so that a publish whose reply was lost can be recognised. */
  readonly operation: string;
  /** Most bytes of one multi. */
  readonly maxBytes?: number;
}

/**
 * Writes a transition: the plan and as many grants as fit in one multi, the rest in further ones, each of them
 * conditional on the term. The plan goes first, so that no epoch is granted that it does not know of; cut off in
 * between, the next snapshot shows the rest as still to be done.
 */
export async function publish(request: PublishRequest): Promise<PublishResult> {
  const { zk, paths, leadership } = request;
  for (const ops of chunksOf(writesOf(request), request.maxBytes ?? MAX_ZNODE_BYTES)) {
    if (!leadership.valid()) return 'SUPERSEDED';
    try {
      await zk.multi([{ op: 'check', path: paths.term, version: leadership.term }, ...ops]);
    } catch (error) {
      // Never retried blindly: the next snapshot shows by its operation whether this one was applied.
      if (isZooKeeperError(error, 'CONNECTION_LOSS', 'OPERATION_TIMEOUT')) return 'UNKNOWN';
      if (isZooKeeperError(error, 'SESSION_EXPIRED')) return 'SUPERSEDED';
      if (!isZooKeeperError(error, 'BAD_VERSION', 'NO_NODE', 'NODE_EXISTS')) throw error;
      return error.opIndex === 0 ? 'SUPERSEDED' : 'STALE';
    }
  }
  return 'PUBLISHED';
}

/**
 * In the order in which they must become visible: no epoch is granted that the plan does not know of, and a farewell
 * stays until the grants of who left it are cleared.
 */
function writesOf({ paths, snapshot, next, ...request }: PublishRequest): Op[] {
  const writes: Op[] = [];
  if (request.mode !== undefined) {
    const [path, data] = [paths.mode, modeCodec.encode(request.mode)];
    if (snapshot.modeVersion === null) writes.push({ op: 'create', path, data, mode: 'PERSISTENT' });
    else writes.push({ op: 'setData', path, data, version: snapshot.modeVersion });
  }
  if (next.plan !== snapshot.plan) {
    const data = planCodec.encode(planRecord(snapshot, next.plan, request));
    writes.push({ op: 'setData', path: paths.plan, data, version: snapshot.planVersion });
  }
  for (const [worker, grants] of next.grants) {
    const path = paths.grantsOf(worker);
    const data = grantsCodec.encode(grants);
    const standing = snapshot.grants.get(worker);
    if (standing === undefined) writes.push({ op: 'create', path, data, mode: 'PERSISTENT' });
    else writes.push({ op: 'setData', path, data, version: standing.version });
  }
  for (const worker of request.retired) {
    const [grants, wish] = [snapshot.grants.get(worker), snapshot.wishes.get(worker)];
    if (next.grants.has(worker)) continue;
    if (grants !== undefined) {
      writes.push({ op: 'delete', path: paths.grantsOf(worker), version: grants.version });
    }
    if (wish !== undefined) writes.push({ op: 'delete', path: paths.worker(worker), version: wish.version });
  }
  for (const name of request.farewells ?? []) {
    writes.push({ op: 'delete', path: `${paths.acks}/${name}`, version: -1 });
  }
  return writes;
}

/** Names only the workers that are some partition's target: those long gone leave the plan by themselves. */
function planRecord(
  { plan, ages }: Snapshot,
  { rev, target, epoch }: PlanState,
  { operation, quarantined }: Pick<PublishRequest, 'operation' | 'quarantined'>,
): Plan {
  const workers = [...new Set(target.filter((id) => id !== null))].sort();
  const index = new Map<string | null, number>(workers.map((id, i) => [id, i]));
  return {
    rev,
    workers,
    target: target.map((id) => index.get(id) ?? -1),
    epoch: [...epoch],
    ages: packAges(aged(ages, plan.target, target)),
    operation,
    ...(quarantined !== undefined &&
      quarantined.size > 0 && { quarantined: Object.fromEntries(quarantined) }),
  };
}

/** Splits at `maxBytes`, as far as single operations allow. */
function chunksOf(ops: readonly Op[], maxBytes: number): Op[][] {
  const chunks: Op[][] = [];
  let room = 0;
  for (const op of ops) {
    const bytes = sizeOf(op);
    if (bytes > room) {
      chunks.push([]);
      room = maxBytes;
    }
    chunks.at(-1)?.push(op);
    room -= bytes;
  }
  return chunks;
}

/** As sent, generously: an operation's header, flags and ACL are under 100 bytes. */
function sizeOf(op: Op): number {
  return op.path.length + ('data' in op ? op.data.length : 0) + 100;
}
