/** What each command does. */
import type { RetryOptions } from '../../libs/cluster/operations.ts';
import type { Paths } from '../../libs/cluster/paths.ts';
import { leaderCodec, modeCodec, workerWishCodec } from '../../libs/cluster/records.ts';
import type { Leader, Mode } from '../../libs/cluster/records.ts';
import { isZooKeeperError } from '../../libs/cluster/zookeeper.ts';
import { describeMove } from '../../libs/core/assignment.ts';
import { unreachable } from '../../libs/core/invariant.ts';
import { decide, modeAt } from '../controller/decision.ts';
import { readSnapshot } from '../controller/snapshot.ts';
import type { Snapshot } from '../controller/snapshot.ts';
import type { Command, WishChange } from './command-line.ts';
import { clusterStatus } from './status.ts';
import { count, describeMode, describeStatus, describeWish } from './text.ts';
import { updateRecord } from './update-record.ts';

export interface Administration extends RetryOptions {
  readonly paths: Paths;
  readonly cluster: string;
}

export interface Answer {
  /** For people, and the same for programs. */
  readonly text: string;
  readonly json: unknown;
  /** What else people should know; none of it is a failure. */
  readonly warnings: readonly string[];
}

/** It could not be done, for a reason that one line can say. */
export class CommandFailure extends Error {
  override name = 'CommandFailure';
}

/**
 * Carries out one command; `status` and `dry-run` only read. Wishes and modes take effect when the controller has
 * seen them, which is at once where one leads.
 *
 * @throws CommandFailure, ZooKeeperError
 */
export async function administer(admin: Administration, command: Command): Promise<Answer> {
  // Others may have written by way of another server just now.
  await admin.zk.sync(admin.paths.root);
  const { snapshot, warnings } = await look(admin);
  switch (command.kind) {
    case 'status': {
      const status = clusterStatus(admin.cluster, snapshot, await readLeader(admin), admin.clock.wallMs());
      return { text: describeStatus(status), json: status, warnings };
    }
    case 'dry-run':
      return { ...dryRun(snapshot, admin.clock.wallMs()), warnings };
    case 'wish':
      return wish(admin, snapshot, command);
    case 'require-tag':
    case 'mode':
      return changeMode(admin, command);
    default:
      return unreachable(command);
  }
}

async function look({
  zk,
  paths,
  cluster,
}: Administration): Promise<{ snapshot: Snapshot; warnings: string[] }> {
  const warnings: string[] = [];
  const onUnreadable = ({ message }: Error) => warnings.push(`${message}: counts as absent`);
  const snapshot = await readSnapshot({ zk, paths, onUnreadable });
  if (snapshot === null)
    throw new CommandFailure(`no cluster ${cluster} in this ZooKeeper: see CLUSTER_NAME`);
  return { snapshot, warnings };
}

async function readLeader({ zk, paths }: Administration): Promise<Leader | null> {
  try {
    return leaderCodec.decode((await zk.getData(paths.leader)).data, paths.leader);
  } catch (error) {
    if (isZooKeeperError(error, 'NO_NODE')) return null;
    throw error;
  }
}

/** The moves a controller would make, as it works them out itself; and in another mode than AUTO, those of resume. */
function dryRun(snapshot: Snapshot, wallMs: number): Omit<Answer, 'warnings'> {
  const inForce = modeAt(snapshot.mode, wallMs);
  const quarantined = new Map([...snapshot.quarantined].filter(([, untilMs]) => untilMs > wallMs));
  const movesIn = (mode: Mode) =>
    decide(snapshot, mode, quarantined).wanted.moves.map((move) => ({
      ...move,
      explanation: describeMove(move),
    }));
  const moves = movesIn(inForce);
  const afterResume = inForce.mode === 'AUTO' ? null : movesIn({ ...inForce, mode: 'AUTO' });
  const { mode, until, reason } = modeFields(inForce);
  const lines = [
    `${count(moves.length, 'move')} (mode ${describeMode({ mode, until, reason })}, ${count(snapshot.live.size, 'live worker')})`,
    ...moves.map(({ explanation }) => explanation),
    ...(afterResume === null ? [] : [`${count(afterResume.length, 'move')} after resume`]),
    ...(afterResume ?? []).map(({ explanation }) => explanation),
  ];
  return { text: lines.join('\n'), json: { mode, until, reason, moves, afterResume } };
}

async function wish(
  admin: Administration,
  { live }: Snapshot,
  { worker, change }: { readonly worker: string; readonly change: WishChange },
): Promise<Answer> {
  const record = await updateRecord(admin, {
    path: admin.paths.worker(worker),
    codec: workerWishCodec,
    // A field set to undefined is left out of the JSON.
    change: (current) => ({ ...current, ...change }),
  });
  const { wish = 'ENABLED', zone, weight, tags, maxPartitions } = record;
  return {
    text: describeWish(worker, record),
    json: { worker, live: live.has(worker), wish, zone, weight, tags, maxPartitions },
    warnings: live.has(worker) ? [] : [`no live worker of that id: ${worker}`],
  };
}

async function changeMode(
  admin: Administration,
  command: Extract<Command, { kind: 'mode' | 'require-tag' }>,
): Promise<Answer> {
  const nowMs = admin.clock.wallMs();
  const record = await updateRecord<Mode>(admin, {
    path: admin.paths.mode,
    codec: modeCodec,
    change: (current = { mode: 'AUTO' }) => changedMode(modeAt(current, nowMs), command, nowMs),
  });
  const { mode, until, reason } = modeFields(record);
  const { requiredTag = null } = record;
  const tagged = requiredTag === null ? '' : `; required tag: ${requiredTag}`;
  return {
    text: `mode: ${describeMode({ mode, until, reason })}${tagged}`,
    json: { mode, until, reason, requiredTag },
    warnings: [],
  };
}

/** As people and programs are shown it; `until` is ISO 8601. */
function modeFields({ mode, untilMs, reason }: Mode) {
  const until = untilMs === undefined ? null : new Date(untilMs).toISOString();
  return { mode, until, reason: reason ?? null };
}

function changedMode(
  current: Mode,
  command: Extract<Command, { kind: 'mode' | 'require-tag' }>,
  nowMs: number,
): Mode {
  const { requiredTag: tag, ...mode } = current;
  if (command.kind === 'require-tag') {
    return { ...mode, ...(command.tag !== undefined && { requiredTag: command.tag }) };
  }
  const { onlyFrom, forMs, reason } = command;
  if (onlyFrom !== undefined && ![onlyFrom, 'AUTO'].includes(mode.mode)) {
    throw new CommandFailure(`the cluster is ${mode.mode}, not in ${onlyFrom}: resume ends that`);
  }
  return {
    mode: command.mode,
    ...(tag !== undefined && { requiredTag: tag }),
    ...(forMs !== undefined && { untilMs: nowMs + forMs }),
    ...(reason !== undefined && { reason }),
  };
}
