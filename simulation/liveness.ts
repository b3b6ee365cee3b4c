/** What must come about once faults have stopped. */
import { parseInstanceName } from '../libs/cluster/paths.ts';
import { planCodec } from '../libs/cluster/records.ts';
import type { Cluster } from './cluster/cluster.ts';
import { PATHS } from './cluster/cluster.ts';

/**
 * What is missing yet, undefined where all has come about: every partition has a living owner, loads are balanced,
 * every task that is due has come to its end. That a task is gone which nobody has removed is a promise broken (P1).
 *
 * @param horizonMs tasks scheduled later than that, by the database's clock, are not waited for
 */
export function unsettled(cluster: Cluster, horizonMs: number): string | undefined {
  const live = liveInstances(cluster);
  const { owners, tasks } = cluster.postgres.database;
  for (const { partitionId, owner, incarnation } of owners) {
    if (owner === null || incarnation === null || !live.has(incarnation))
      return `partition ${partitionId} has no living owner (${owner ?? 'none'})`;
  }
  for (const { id, status, scheduledAt } of tasks.values()) {
    if (status === 'RUNNING' || (status === 'PENDING' && scheduledAt <= horizonMs))
      return `task ${id} is ${status}`;
  }
  for (const id of cluster.users.expected)
    if (!tasks.has(id)) cluster.safety.broken('P1', `task ${id} was acknowledged and is lost`);
  return unbalanced(cluster, new Set(live.values()));
}

/** P8: loads differ by at most one, unless a worker is in quarantine. */
function unbalanced({ ensemble }: Cluster, workerIds: ReadonlySet<string>): string | undefined {
  const data = ensemble.znodes.get(PATHS.plan);
  if (data === undefined) return 'there is no plan';
  const { workers, target, quarantined } = planCodec.decode(data, PATHS.plan);
  if (quarantined !== undefined) return undefined;
  const loads = new Map([...workerIds].map((id) => [id, 0]));
  for (const index of target) loads.set(workers[index] ?? '', (loads.get(workers[index] ?? '') ?? 0) + 1);
  const [least, most] = [Math.min(...loads.values()), Math.max(...loads.values())];
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
