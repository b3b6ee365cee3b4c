import type { Leader, Mode } from '../../libs/cluster/records.ts';
import { modeAt, workerSpecs } from '../controller/decision.ts';
import type { Snapshot } from '../controller/snapshot.ts';

export interface WorkerStatus {
  readonly id: string;
  readonly live: boolean;
  readonly host: string | null;
  readonly wish: 'ENABLED' | 'DRAIN' | 'DISABLED';
  readonly zone: string | null;
  readonly weight: number;
  readonly tags: readonly string[];
  readonly maxPartitions: number | null;
  /** Wall time, ISO 8601; null for none. */
  readonly quarantinedUntil: string | null;
  /** Partitions meant for it; those it says it owns; those it has yet to release. */
  readonly target: number;
  readonly owned: number;
  readonly releasing: number;
}

/**
 * A partition that is not yet where it is meant to be. What has to happen: `from` must RELEASE it, the controller
 * must GRANT it, or `to` must ACQUIRE it.
 */
export interface MoveUnderWay {
  readonly partition: number;
  readonly from: string | null;
  readonly to: string | null;
  readonly waitsFor: 'RELEASE' | 'GRANT' | 'ACQUIRE';
}

export interface ClusterStatus {
  readonly cluster: string;
  readonly leader: { readonly id: string; readonly host: string; readonly since: string } | null;
  readonly mode: Mode['mode'];
  readonly reason: string | null;
  readonly until: string | null;
  readonly requiredTag: string | null;
  readonly partitions: number;
  readonly workers: readonly WorkerStatus[];
  /** Partitions that no living worker says it owns. */
  readonly unowned: readonly number[];
  readonly moves: readonly MoveUnderWay[];
}

/** What a snapshot says of the cluster, at the wall time `wallMs`. */
export function clusterStatus(
  cluster: string,
  snapshot: Snapshot,
  leader: Leader | null,
  wallMs: number,
): ClusterStatus {
  const mode = modeAt(snapshot.mode, wallMs);
  const owners = ownersOf(snapshot);
  return {
    cluster,
    leader: leader && { id: leader.id, host: leader.host, since: iso(leader.sinceMs) },
    mode: mode.mode,
    reason: mode.reason ?? null,
    until: mode.untilMs === undefined ? null : iso(mode.untilMs),
    requiredTag: mode.requiredTag ?? null,
    partitions: snapshot.meta.partitions,
    workers: workersOf(snapshot, wallMs),
    unowned: snapshot.plan.target.flatMap((_worker, partition) => (owners.has(partition) ? [] : [partition])),
    moves: movesUnderWay(snapshot),
  };
}

function ownersOf({ acks }: Snapshot): Map<number, string> {
  const owners = new Map<number, string>();
  for (const [id, { owned }] of acks) {
    for (const partition of Object.keys(owned)) owners.set(Number(partition), id);
  }
  return owners;
}

/** Everyone who lives, is meant to hold something, or is wished something for. */
function workersOf(snapshot: Snapshot, wallMs: number): WorkerStatus[] {
  const { live, selves, wishes, acks, plan, quarantined } = snapshot;
  const targets = new Map<string, number>();
  for (const id of plan.target) if (id !== null) targets.set(id, (targets.get(id) ?? 0) + 1);
  const ids = [...new Set([...live.keys(), ...wishes.keys(), ...targets.keys()])];
  const everyone = { ...snapshot, live: new Map(ids.map((id) => [id, live.get(id) ?? ''])) };
  return workerSpecs(everyone, new Map())
    .map(({ id, wish, zone, weight, tags, maxPartitions }) => {
      const untilMs = quarantined.get(id) ?? 0;
      return {
        id,
        live: live.has(id),
        host: selves.get(id)?.host ?? null,
        wish: wish ?? 'ENABLED',
        zone: zone ?? null,
        weight: weight ?? 1,
        tags: tags ?? [],
        maxPartitions: maxPartitions ?? null,
        quarantinedUntil: untilMs > wallMs ? iso(untilMs) : null,
        target: targets.get(id) ?? 0,
        owned: Object.keys(acks.get(id)?.owned ?? {}).length,
        releasing: acks.get(id)?.releasing.length ?? 0,
      };
    })
    .sort((a, b) => a.id.localeCompare(b.id, 'en', { numeric: true }));
}

function movesUnderWay({ plan, live, grants, acks }: Snapshot): MoveUnderWay[] {
  const releasing = new Map<number, string>();
  for (const [id, { incarnation, revoked }] of grants) {
    if (live.get(id) !== incarnation) continue;
    for (const partition of Object.keys(revoked)) releasing.set(Number(partition), id);
  }
  return plan.target.flatMap((to, partition): MoveUnderWay[] => {
    const from = releasing.get(partition);
    if (from !== undefined) return [{ partition, from, to, waitsFor: 'RELEASE' }];
    const incarnation = to === null ? undefined : live.get(to);
    // Meant for nobody who lives: there is no move to wait for.
    if (to === null || incarnation === undefined) return [];
    const granted = grants.get(to);
    const epoch = granted?.incarnation === incarnation ? granted.parts[partition] : undefined;
    if (epoch === undefined) return [{ partition, from: null, to, waitsFor: 'GRANT' }];
    if (acks.get(to)?.owned[partition] === epoch) return [];
    return [{ partition, from: null, to, waitsFor: 'ACQUIRE' }];
  });
}

function iso(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
