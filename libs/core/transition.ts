/**
 * One step from the grants that stand towards the targets that are wanted. A partition is, by what ZooKeeper
 * holds,
 *
 * ```
 *             target elsewhere                 released, or overdue
 *  GRANTED ─────────────────────▶ REVOKING ─────────────────────────▶ FREE
 *     ▲ │                                                              ▲ │
 *     │ └─────────────────── its incarnation is gone ──────────────────┘ │
 *     └────────────────── its target lives: mint epoch+1 ────────────────┘
 * ```
 * GRANTED: in the `parts` of a living incarnation's grants. REVOKING: in their `revoked`, with the rev that took
 * it. FREE: in neither. The grants of an incarnation that is gone count for nothing: Postgres fences it as soon
 * as the next owner takes its higher epoch. So does an overdue revoke: the wait spares the old owner a refusal,
 * it is not what keeps two owners apart.
 */
import type { Targets } from './assignment.ts';

type PartitionEpochs = Readonly<Record<string, number>>;

/** What one incarnation of a worker may own, by partition; and since which rev it may not own what it did. */
export interface Grants {
  readonly incarnation: string;
  readonly rev: number;
  readonly parts: PartitionEpochs;
  readonly revoked: PartitionEpochs;
}

/** What a worker has made of its grants up to `rev`; `fenced` holds the database's epochs. */
export interface Ack {
  readonly rev: number;
  readonly owned: PartitionEpochs;
  readonly releasing: readonly number[];
  readonly fenced: PartitionEpochs;
}

export interface PlanState {
  /** Counts the plan's changes; a grant carries the rev that last changed it. */
  readonly rev: number;
  readonly target: Targets;
  /** The last epoch minted for each partition. */
  readonly epoch: readonly number[];
}

export interface TransitionInput {
  readonly plan: PlanState;
  /** Where the partitions ought to go, as the planner says. */
  readonly target: Targets;
  /** Living workers by id, each with its newest incarnation. */
  readonly live: ReadonlyMap<string, string>;
  readonly grants: ReadonlyMap<string, Grants>;
  /** The acks of the incarnations in `live`. */
  readonly acks: ReadonlyMap<string, Ack>;
  /** Whether the worker has been given long enough to release the partition. */
  readonly overdue: (worker: string, partition: number) => boolean;
}

export interface Transition {
  /** The plan it was given, that very object, where there is nothing to do. */
  readonly plan: PlanState;
  /** The grants that change, all of them at `plan.rev`. */
  readonly grants: ReadonlyMap<string, Grants>;
}

/** Computes the next plan and the grants that go with it, to be published together. */
export function transition(input: TransitionInput): Transition {
  const { plan, target, live, acks } = input;
  const rev = plan.rev + 1;
  const epoch = [...plan.epoch];
  const drafts = new Map<string, GrantsDraft>();
  const taken = new Set<number>();
  const mint = (partition: number, draft: GrantsDraft, above: number) => {
    const minted = above + 1;
    epoch[partition] = minted;
    draft.grant(partition, minted);
  };

  for (const [worker, standing] of input.grants) {
    const incarnation = live.get(worker);
    if (incarnation !== standing.incarnation) {
      drafts.set(worker, GrantsDraft.clearing(standing, incarnation));
      continue;
    }
    const draft = GrantsDraft.of(standing);
    drafts.set(worker, draft);
    const ack = acks.get(worker);

    for (const [partition, sinceRev] of entries(standing.revoked)) {
      if (released(ack, partition, sinceRev) || input.overdue(worker, partition)) draft.free(partition);
      else taken.add(partition);
    }
    for (const [partition] of entries(standing.parts)) {
      taken.add(partition);
      const last = epoch[partition] ?? 0;
      const inDatabase = ack?.fenced[partition];
      if (target[partition] !== worker) draft.revoke(partition, rev);
      // Only a report at or above the last epoch minted says anything new: an older one has been answered.
      else if (inDatabase !== undefined && inDatabase >= last) mint(partition, draft, inDatabase);
    }
  }

  target.forEach((worker, partition) => {
    const incarnation = worker === null ? undefined : live.get(worker);
    if (worker === null || incarnation === undefined || taken.has(partition)) return;
    const draft = drafts.get(worker) ?? GrantsDraft.empty(incarnation);
    drafts.set(worker, draft);
    mint(partition, draft, epoch[partition] ?? 0);
  });

  const grants = new Map<string, Grants>();
  for (const [worker, draft] of drafts) if (draft.changed) grants.set(worker, draft.at(rev));
  const settled = grants.size === 0 && target.every((worker, partition) => worker === plan.target[partition]);
  return { plan: settled ? plan : { rev, target, epoch }, grants };
}

/** Whether the worker has said, having seen the rev that revoked it, that it holds the partition no longer. */
function released(ack: Ack | undefined, partition: number, sinceRev: number): boolean {
  return (
    ack !== undefined &&
    ack.rev >= sinceRev &&
    ack.owned[partition] === undefined &&
    !ack.releasing.includes(partition)
  );
}

/** JSON's keys as the partition ids they are. */
function entries(epochs: PartitionEpochs): [partition: number, value: number][] {
  return Object.entries(epochs).map(([partition, value]) => [Number(partition), value]);
}

/** The grants of one worker while a step is being worked out. */
class GrantsDraft {
  changed: boolean;
  readonly #incarnation: string;
  readonly #parts: Map<number, number>;
  readonly #revoked: Map<number, number>;

  private constructor(
    incarnation: string,
    parts: PartitionEpochs,
    revoked: PartitionEpochs,
    changed: boolean,
  ) {
    this.#incarnation = incarnation;
    this.#parts = new Map(entries(parts));
    this.#revoked = new Map(entries(revoked));
    this.changed = changed;
  }

  static of({ incarnation, parts, revoked }: Grants): GrantsDraft {
    return new GrantsDraft(incarnation, parts, revoked, false);
  }

  static empty(incarnation: string): GrantsDraft {
    return new GrantsDraft(incarnation, {}, {}, false);
  }

  /** Drops what an incarnation that is gone was granted; `successor` is the same worker's living one. */
  static clearing({ incarnation, parts, revoked }: Grants, successor: string | undefined): GrantsDraft {
    const holds = Object.keys(parts).length + Object.keys(revoked).length > 0;
    return new GrantsDraft(successor ?? incarnation, {}, {}, holds);
  }

  grant(partition: number, epoch: number): void {
    this.#parts.set(partition, epoch);
    this.changed = true;
  }

  revoke(partition: number, rev: number): void {
    this.#parts.delete(partition);
    this.#revoked.set(partition, rev);
    this.changed = true;
  }

  free(partition: number): void {
    this.#revoked.delete(partition);
    this.changed = true;
  }

  at(rev: number): Grants {
    return {
      incarnation: this.#incarnation,
      rev,
      parts: Object.fromEntries(this.#parts),
      revoked: Object.fromEntries(this.#revoked),
    };
  }
}
