/** What the stores should hold, and what its users and workers know: partitions, leases and the lives of tasks. */
import { invariant } from '../../core/invariant.ts';
import type { TaskId } from '../../core/task.ts';
import type {
  AttemptEnd,
  Beyond,
  ClaimedTask,
  ClaimRecord,
  ExecutionStore,
  Held,
  OutcomeResult,
  OwnershipStore,
  Recovered,
  TaskRecord,
  TaskStore,
} from '../../db/stores.ts';
import { claimed, ended, isRunning, isWaiting, lost } from './life.ts';
import type { Life, Next } from './life.ts';
import { inOrder } from './lines.ts';

export const LEASE_MS = 60_000;
export const PARTITIONS = 2;
/** Workers that come and go, and one that is there in the end. */
export const WORKERS = ['w0', 'w1'] as const;
export const HEIR = 'heir';

/** A database, in memory or real, as users and workers reach it. */
export interface DatabaseOfTasks {
  readonly tasks: TaskStore;
  /** Stores on connections of that worker's process. */
  worker(id: string): { readonly ownership: OwnershipStore; readonly execution: ExecutionStore };
  /** By the database's clock; exact where it stands still. */
  nowMs(): number;
  /** How far {@link nowMs} and a time that was written just now may be apart, in ms. */
  readonly toleranceMs: number;
  /** Whether {@link TaskStore.attempts} can be asked. */
  readonly keepsAttempts: boolean;
  /** The lease is over. */
  endLease(incarnation: string): Promise<void>;
  /** It has been renewed for an hour without a gap. */
  ageLease(incarnation: string): Promise<void>;
  /** Where its clock can be moved: set forward or back, and let run on. */
  readonly time?: { step(ms: number): void; pass(ms: number): Promise<void> };
}

interface Lease {
  readonly workerId: string;
  expiresAtMs: number;
  unbrokenSinceMs: number;
}

/** An attempt as its worker has it: whatever became of it in the database. */
interface InHand {
  readonly task: ClaimedTask;
  /** Its outcome was written, and answered. */
  ended: boolean;
}

/** What a worker believes. */
export interface WorkerModel {
  readonly id: string;
  /** The last is the one it claims under. */
  readonly incarnations: string[];
  held: Held[];
  readonly inHand: InHand[];
}

export class Model {
  /** In the order of submission. */
  lives: Next[] = [];
  readonly ids: TaskId[] = [];
  readonly workers = new Map<string, WorkerModel>();
  readonly owners: { epoch: number; incarnation: string | null }[] = Array.from(
    { length: PARTITIONS },
    () => ({
      epoch: 0,
      incarnation: null,
    }),
  );
  readonly leases = new Map<string, Lease>();
  /** As last seen by a reader. */
  readonly seen = new Map<TaskId, TaskRecord | null>();
  /** How often each change of status, or of whose turn it is, was seen, in all runs together. */
  readonly changes: Map<string, number>;
  /** By how much the clock was set, altogether. */
  steppedMs = 0;

  constructor(changes: Map<string, number>) {
    this.changes = changes;
  }

  worker(id: string): WorkerModel {
    let worker = this.workers.get(id);
    if (worker === undefined) this.workers.set(id, (worker = { id, incarnations: [], held: [], inHand: [] }));
    return worker;
  }

  /** After anything: the stores put a line in order with what changes it. */
  putInOrder(nowMs: number): void {
    this.lives = inOrder(this.lives, nowMs, (change) => this.count(change));
  }

  count(change: string): void {
    this.changes.set(change, (this.changes.get(change) ?? 0) + 1);
  }

  life(nth: number): Next {
    const life = this.lives[nth];
    invariant(life !== undefined, 'a command is only run for what was submitted');
    return life;
  }

  // ------------------------------------------------------------------ leases and partitions

  renewed({ id, incarnations }: WorkerModel, nowMs: number): void {
    const expiresAtMs = nowMs + LEASE_MS;
    const unbroken = [...this.leases.values()].filter(
      (lease) => lease.workerId === id && inTime(lease, nowMs),
    );
    const sinceMs =
      unbroken.length === 0 ? nowMs : Math.min(...unbroken.map(({ unbrokenSinceMs }) => unbrokenSinceMs));
    for (const incarnation of incarnations) {
      const lease = this.leases.get(incarnation);
      const unbrokenSinceMs =
        lease === undefined ? sinceMs : inTime(lease, nowMs) ? Math.min(lease.unbrokenSinceMs, nowMs) : nowMs;
      this.leases.set(incarnation, { workerId: id, expiresAtMs, unbrokenSinceMs });
    }
  }

  /** @returns whether it is the worker's by now */
  acquired(incarnation: string, partition: number, epoch: number): boolean {
    const owner = this.owners[partition];
    invariant(owner !== undefined, 'there are only so many partitions');
    if (!(owner.epoch < epoch || (owner.epoch === epoch && owner.incarnation === incarnation))) return false;
    this.owners[partition] = { epoch, incarnation };
    return true;
  }

  released({ held }: WorkerModel): void {
    for (const part of held)
      if (this.stands(part)) this.owners[part.partition] = { epoch: part.epoch, incarnation: null };
  }

  stands({ partition, epoch, incarnation }: Held): boolean {
    const owner = this.owners[partition];
    return owner?.epoch === epoch && owner.incarnation === incarnation;
  }

  // ------------------------------------------------------------------ attempts

  /** What a claim may take in a partition, what goes first first. */
  claimable(partition: number, nowMs: number): Life[] {
    return this.lives
      .filter(isWaiting)
      .filter((life) => life.partition === partition && life.dueAtMs <= nowMs && !life.blocked)
      .sort((a, b) => b.priority - a.priority || a.dueAtMs - b.dueAtMs || a.id - b.id);
  }

  /** @returns the earliest due time of each of the partitions that has one by then */
  dueBy(partitions: readonly Beyond[], untilMs: number): { partition: number; dueAtMs: number }[] {
    return partitions.flatMap(({ partition }) => {
      const due = this.claimable(partition, untilMs).map(({ dueAtMs }) => dueAtMs);
      return due.length === 0 ? [] : [{ partition, dueAtMs: Math.min(...due) }];
    });
  }

  claimed({ id: workerId, inHand }: WorkerModel, tasks: readonly ClaimedTask[]): void {
    for (const task of tasks) {
      const { incarnation, epoch } = task;
      this.#change(task.id, (life) =>
        life === 'GONE' ? life : claimed(life, { workerId, incarnation, epoch }),
      );
      inHand.push({ task, ended: false });
    }
  }

  /** The records all of whose attempts have ended when `ending` have. */
  settledBy({ inHand }: WorkerModel, ending: readonly ClaimedTask[]): ClaimRecord[] {
    const open = inHand.filter(({ task, ended: isOver }) => !isOver && !ending.includes(task));
    const settled = ending.filter((task) => !open.some((other) => isOfOneRecord(other.task, task)));
    return settled.filter(
      (task, index) => settled.findIndex((other) => isOfOneRecord(other, task)) === index,
    );
  }

  /** An outcome arrives, the first time or again. */
  outcome({ id, attempt, incarnation }: ClaimedTask, end: AttemptEnd, nowMs: number): OutcomeResult {
    const life = this.life(this.ids.indexOf(id));
    if (life === 'GONE') return 'recorded';
    if (isRunning(life) && life.attempt === attempt) {
      this.#change(id, () => ended(life, end, nowMs));
      return 'recorded';
    }
    const lastEnded = isRunning(life) ? life.attempt - 1 : life.attempt;
    return lastEnded === attempt && life.endedBy === incarnation ? 'recorded' : 'refused';
  }

  recovered(worker: WorkerModel, jitter: number, nowMs: number): Recovered[] {
    const own = worker.held.filter((part) => this.stands(part) && this.#mayRecover(part.incarnation, nowMs));
    const gone = this.lives.filter(isRunning).filter(({ partition, run: { incarnation } }) => {
      const ours = worker.incarnations.includes(incarnation);
      const expiresAtMs = this.leases.get(incarnation)?.expiresAtMs ?? -Infinity;
      return !ours && expiresAtMs <= nowMs && own.some((part) => part.partition === partition);
    });
    for (const life of gone) this.#change(life.id, () => lost(life, jitter, nowMs));
    // Leases from before the clock was set back.
    for (const lease of this.leases.values())
      if (lease.expiresAtMs > nowMs + LEASE_MS) lease.expiresAtMs = nowMs + LEASE_MS;
    return gone.map(({ id, partition, attempt, run }) => {
      const next = this.life(this.ids.indexOf(id));
      const became = next === 'GONE' ? 'REMOVED' : (next.status as 'PENDING');
      return { id, partition, attempt, fromWorkerId: run.workerId, became };
    });
  }

  #mayRecover(incarnation: string, nowMs: number): boolean {
    const lease = this.leases.get(incarnation);
    return lease !== undefined && inTime(lease, nowMs) && lease.unbrokenSinceMs + LEASE_MS <= nowMs;
  }

  #change(id: TaskId, change: (life: Next) => Next): void {
    const nth = this.ids.indexOf(id);
    this.lives[nth] = change(this.life(nth));
  }
}

/** A renewal before that leaves no gap: the function renewed_in_time of the schema. */
const inTime = ({ expiresAtMs }: Lease, nowMs: number): boolean => nowMs < expiresAtMs - 0.35 * LEASE_MS;

const isOfOneRecord = (a: ClaimRecord, b: ClaimRecord): boolean =>
  a.partition === b.partition && a.record === b.record;
