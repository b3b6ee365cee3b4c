/** What must come about once faults have stopped, and how soon. */
import { parseInstanceName } from '../libs/cluster/paths.ts';
import { planCodec } from '../libs/cluster/records.ts';
import type { Cluster } from './cluster/cluster.ts';
import { PATHS } from './cluster/cluster.ts';
import { CONCURRENCY } from './cluster/worker-process.ts';
import type { TaskState } from './store/database.ts';

/** How long, in ms, each kind of thing that should not be may last: more than ever seen in 100,000 seeds, 4 to 5.5 s. */
const BOUNDS_MS = {
  /** A partition has no living owner, or loads differ by more than they must. */
  unassigned: 6_000,
  /** A task is due and PENDING, and the worker of its partition could take it on. */
  due: 8_000,
  /** A task is RUNNING whose claimer's lease is over. */
  abandoned: 8_000,
  /** A task is RUNNING and no handler is. */
  idle: 6_000,
  /** A task is RUNNING that a user wants cancelled, and its worker has a lease. */
  cancelling: 3_000,
  /** A record of a claim stands, and all its attempts have ended. */
  unsettled: 8_000,
  /** A task stands that ended longer ago than tasks are kept. */
  kept: 12_000,
};
type Kind = keyof typeof BOUNDS_MS;
export type LongestMs = Record<Kind, number>;

export function nothingYet(): LongestMs {
  return { unassigned: 0, due: 0, abandoned: 0, idle: 0, cancelling: 0, unsettled: 0, kept: 0 };
}

interface Missing {
  readonly kind: Kind;
  readonly what: string;
}

/** Watches, from when faults have stopped, what is missing yet. That a task is gone which nobody has removed is a promise broken (P1). */
export class Liveness {
  readonly #cluster: Cluster;
  readonly #nowMs: () => number;
  /** Tasks scheduled later than that, by the database's clock, are not waited for. */
  readonly #horizonMs: number;
  readonly #since = new Map<string, number>();
  /** The longest that each kind has lasted. */
  readonly longestMs: LongestMs = nothingYet();

  constructor(cluster: Cluster, { nowMs, horizonMs }: { nowMs: () => number; horizonMs: number }) {
    this.#cluster = cluster;
    this.#nowMs = nowMs;
    this.#horizonMs = cluster.postgres.machine.clock.wallMs() + horizonMs;
  }

  /** What is not as it should be at the moment, `undefined` where everything is: all assigned, all due tasks ended. */
  look(): string | undefined {
    const nowMs = this.#nowMs();
    const missing = this.#missing();
    const whats = new Set(missing.map(({ what }) => what));
    for (const what of this.#since.keys()) if (!whats.has(what)) this.#since.delete(what);
    for (const { kind, what } of missing) {
      const sinceMs = this.#since.get(what) ?? nowMs;
      this.#since.set(what, sinceMs);
      this.longestMs[kind] = Math.max(this.longestMs[kind], nowMs - sinceMs);
      if (nowMs - sinceMs > BOUNDS_MS[kind])
        this.#cluster.safety.broken('liveness', `for ${BOUNDS_MS[kind]} ms without a fault, ${what}`);
    }
    for (const id of this.#cluster.users.expected)
      if (!this.#cluster.postgres.database.tasks.has(id) && !this.#cluster.safety.agedOut(id))
        this.#cluster.safety.broken('P1', `task ${id} was acknowledged and is lost`);
    return missing[0]?.what ?? this.#unfinished();
  }

  #missing(): Missing[] {
    return [
      ...this.#unassigned().map((what) => ({ kind: 'unassigned' as const, what })),
      ...this.#late(),
      ...this.#unsettled().map((what) => ({ kind: 'unsettled' as const, what })),
      ...this.#kept().map((what) => ({ kind: 'kept' as const, what })),
    ];
  }

  #unsettled(): string[] {
    const { claimRecords, tasks } = this.#cluster.postgres.database;
    return [...claimRecords.values()]
      .filter(({ id, taskIds }) => !taskIds.some((task) => tasks.get(task)?.record === id))
      .map(
        ({ partitionId, id, workerId }) =>
          `record ${id} of a claim of ${workerId} in partition ${partitionId} stands though all its attempts have ended`,
      );
  }

  /** Up to the first, by id, that was created too late for any beyond to have ended long ago. */
  #kept(): string[] {
    const { keepMs, postgres } = this.#cluster;
    if (keepMs === undefined) return [];
    const cutoff = postgres.machine.clock.wallMs() - keepMs;
    const tasks = [...postgres.database.tasks.values()].sort((a, b) => a.id - b.id);
    const young = tasks.findIndex(({ createdAt }) => createdAt > cutoff);
    return tasks
      .slice(0, young < 0 ? tasks.length : young)
      .filter(({ completedAt }) => completedAt !== null && completedAt <= cutoff)
      .map(({ id, status }) => `task ${id} stands, which was ${status} long ago`);
  }

  #unassigned(): string[] {
    const live = liveInstances(this.#cluster);
    const unowned = this.#cluster.postgres.database.owners.filter(
      ({ incarnation }) => incarnation === null || !live.has(incarnation),
    );
    const balance = unbalanced(this.#cluster, new Set(live.values()));
    return [
      ...unowned.map(({ partitionId }) => `partition ${partitionId} has no living owner`),
      ...(balance === undefined ? [] : [balance]),
    ];
  }

  #late(): Missing[] {
    const { postgres, safety } = this.#cluster;
    const { tasks, sessions } = postgres.database;
    const nowMs = postgres.machine.clock.wallMs();
    const late: Missing[] = [];
    const full = this.#fullWorkers();
    for (const task of tasks.values()) {
      const { id, partitionId, status, dueAt, attempt, incarnation } = task;
      const waits = task.blocked === true && [...tasks.values()].some((other) => isAhead(other, task));
      if (
        status === 'PENDING' &&
        dueAt <= nowMs &&
        !waits &&
        !full.has(postgres.database.owners[partitionId]?.owner)
      )
        late.push({ kind: 'due', what: `task ${id} is due, after attempt ${attempt}` });
      if (status !== 'RUNNING') continue;
      const leaseEndsAt = sessions.get(incarnation ?? '')?.expiresAt ?? 0;
      if (leaseEndsAt <= nowMs)
        late.push({ kind: 'abandoned', what: `attempt ${attempt} of task ${id} has no owner with a lease` });
      else if (!safety.runs(id, attempt))
        late.push({ kind: 'idle', what: `no handler runs attempt ${attempt} of task ${id}` });
      else if (task.cancelRequestedAt !== null)
        late.push({ kind: 'cancelling', what: `attempt ${attempt} of task ${id} is cancelled, and goes on` });
    }
    return late;
  }

  /** Those who have as much in hand as they take on. */
  #fullWorkers(): Set<string | null | undefined> {
    const inHand = new Map<string | null, number>();
    for (const { status, workerId } of this.#cluster.postgres.database.tasks.values())
      if (status === 'RUNNING') inHand.set(workerId, (inHand.get(workerId) ?? 0) + 1);
    return new Set([...inHand].filter(([, count]) => count >= CONCURRENCY).map(([workerId]) => workerId));
  }

  #unfinished(): string | undefined {
    for (const { id, status, scheduledAt } of this.#cluster.postgres.database.tasks.values()) {
      if (status === 'RUNNING' || (status === 'PENDING' && scheduledAt <= this.#horizonMs))
        return `task ${id} is ${status}`;
    }
    return undefined;
  }
}

/** Whether `other` is whom a serial task that waits for its turn waits for. */
function isAhead(other: TaskState, { partitionId, key }: TaskState): boolean {
  const stands = other.status === 'PENDING' || other.status === 'RUNNING';
  return other.blocked === false && stands && other.partitionId === partitionId && other.key === key;
}

/** P8: loads differ by at most one; a worker in quarantine may have less. */
function unbalanced({ ensemble }: Cluster, workerIds: ReadonlySet<string>): string | undefined {
  const data = ensemble.znodes.get(PATHS.plan);
  if (data === undefined) return 'there is no plan';
  const { workers, target, quarantined = {} } = planCodec.decode(data, PATHS.plan);
  const loads = new Map([...workerIds].map((id) => [id, 0]));
  for (const index of target) loads.set(workers[index] ?? '', (loads.get(workers[index] ?? '') ?? 0) + 1);
  const most = Math.max(...loads.values());
  const least = Math.min(...[...loads].filter(([id]) => !(id in quarantined)).map(([, load]) => load));
  return most - least > 1 ? `the loads of workers are between ${least} and ${most}` : undefined;
}

/** Incarnations with a live node, each with its worker's id. */
function liveInstances({ ensemble }: Cluster): Map<string, string> {
  const live = new Map<string, string>();
  for (const path of ensemble.znodes.keys()) {
    if (!path.startsWith(`${PATHS.live}/`)) continue;
    const instance = parseInstanceName(path.slice(PATHS.live.length + 1));
    if (instance !== undefined) live.set(instance.incarnation, instance.id);
  }
  return live;
}
