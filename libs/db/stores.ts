/**
 * Postgres as this product uses it, in three ports by who calls them. `postgres-*.ts` implement them; a
 * simulation may implement them in memory. Each method is one statement (or a bounded loop of the same one):
 * no method is a client transaction held across awaits, so everything works through a pooling proxy.
 *
 * Times are milliseconds since the Unix epoch by the *database's* clock, durations milliseconds.
 * Every method may reject with a {@link StoreUnavailableError}: the database could not be reached or is
 * restarting. A write it interrupted may or may not have been committed.
 */
import type { Json, TaskId, TaskPolicy, TaskStatus } from '../core/task.ts';

export class StoreUnavailableError extends Error {
  override name = 'StoreUnavailableError';
}

/** Its statement took longer than it may, or somebody cancelled it: nothing of it was carried out, and the next may be served. */
export class StatementCancelledError extends StoreUnavailableError {
  override name = 'StatementCancelledError';
}

/** The database is there, cluster-init has not been (or an older version of it has). */
export class StoreNotInitialisedError extends Error {
  override name = 'StoreNotInitialisedError';
}

/**
 * The database refused a value itself, such as a NUL in a text or a number it cannot hold: the caller's input, no
 * fault of ours. Nothing of the call was stored.
 */
export class InvalidInputError extends Error {
  override name = 'InvalidInputError';
}

export interface ClusterMeta {
  readonly uid: string;
  readonly partitions: number;
}

// ---------------------------------------------------------------- scheduler-api

export interface NewTask {
  readonly name: string;
  /** What to shard by; the task's own id where null. */
  readonly key: string | null;
  readonly payload: Json;
  /** The same by JSON.stringify, where that was done already. */
  readonly payloadText?: string;
  /** `null` is now, by the database's clock, or `delayMs` from now. */
  readonly scheduledAtMs: number | null;
  readonly delayMs?: number | null;
  /** Null: as is usual. */
  readonly policy?: TaskPolicy | null;
  /** 0 to 9, higher first among what is due in a partition; 0 where not given. */
  readonly priority?: number;
  readonly tags?: readonly string[] | null;
  /** Whether it waits for those of its key that are serial too and come before it, by scheduled time and then id. */
  readonly serial?: boolean;
}

/** What is stored once, however often it is asked for. All tasks of one request have the same. */
export interface Once {
  readonly key: string;
  /** Of the request: the same key must not come with another. */
  readonly fingerprint: string;
}

export interface TaskOnce {
  readonly task: NewTask;
  /** Null: each time. */
  readonly once: Once | null;
}

/** How far a handler says its attempt has got. */
export interface TaskProgress {
  /** 0 to 1. */
  readonly done: number;
  readonly note: string | null;
}

export interface TaskRecord {
  readonly id: TaskId;
  readonly name: string;
  readonly key: string | null;
  readonly partitionId: number;
  readonly payload: Json;
  readonly status: TaskStatus;
  readonly scheduledAtMs: number;
  readonly createdAtMs: number;
  readonly attempt: number;
  readonly failures: number;
  /** Start of the current or last attempt. */
  readonly startedAtMs: number | null;
  readonly completedAtMs: number | null;
  /** Who runs it, or ran it last. */
  readonly workerId: string | null;
  /** While RUNNING: when its claimer's lease ends. */
  readonly leaseExpiresAtMs: number | null;
  readonly lastError: string | null;
  readonly policy: TaskPolicy | null;
  readonly priority: number;
  readonly tags: readonly string[] | null;
  readonly serial: boolean;
  /** Of the current or last attempt. */
  readonly progress: TaskProgress | null;
  /** What the handler returned. */
  readonly result: Json | null;
  /** How often users have changed it. */
  readonly revision: number;
}

/** What the database says of a task that it has stored: the rest is as it was given, or as of every new task. */
export type StoredTask = Pick<TaskRecord, 'id' | 'partitionId' | 'scheduledAtMs' | 'createdAtMs'>;

/** One attempt of a task, as readers see it. */
export interface AttemptRecord {
  readonly attempt: number;
  readonly workerId: string;
  readonly epoch: number;
  readonly startedAtMs: number;
  /** Null: it runs. */
  readonly endedAtMs: number | null;
  readonly outcome: 'COMPLETED' | 'FAILED' | 'HANDED_BACK' | 'LOST' | null;
  readonly error: AttemptError | null;
}

export interface PartitionView {
  readonly id: number;
  readonly owner: string | null;
  readonly epoch: number;
}

export interface WorkerView {
  readonly id: string;
  /** Its lease has not ended. */
  readonly alive: boolean;
  readonly partitions: readonly number[];
  readonly leaseExpiresAtMs: number;
}

export type RemoveResult = 'removed' | 'cancelling' | 'unknown';
/** `ended`: otherwise than by being cancelled. */
export type CancelResult = 'cancelled' | 'cancelling' | 'ended' | 'unknown';
/** What is not `retried` has not FAILED and is not CANCELLED. */
export type RetryResult = 'retried' | 'running' | 'waiting' | 'completed' | 'unknown';
/** Why a task cannot be changed that does not wait. */
export type NotWaiting = 'running' | 'completed' | 'failed' | 'cancelled' | 'unknown';
export type RunResult = 'due' | NotWaiting;
/** `changed`: it is of another version. */
export type PatchResult = 'patched' | 'changed' | NotWaiting;

/** What is to be changed of a task; the rest stays. */
export interface TaskChange {
  readonly scheduledAtMs?: number | undefined;
  /** From now, instead. */
  readonly delayMs?: number | undefined;
  readonly payload?: Json | undefined;
  readonly maxAttempts?: number | undefined;
  readonly priority?: number | undefined;
}

/** Its key was used by another request, or another call is about to use it. */
export type NotStored = 'reused' | 'in flight';

export interface TaskStore {
  /** @throws StoreNotInitialisedError before cluster-init */
  readMeta(): Promise<ClusterMeta>;
  /** One multi-row INSERT, committed when it resolves; in the order of `tasks`. Wakes the owners of what is due soon. */
  insert(tasks: readonly NewTask[]): Promise<StoredTask[]>;
  /**
   * The same, but for tasks whose key was used before: what was stored then by the same request, as it was then, or why there is
   * nothing to tell. No call waits for another that uses the same key.
   * @param keepMs how long keys are remembered
   */
  insertOnce(tasks: readonly TaskOnce[], keepMs: number): Promise<(StoredTask | NotStored)[]>;
  get(id: TaskId): Promise<TaskRecord | null>;
  /** The newest first; of those that did not complete, the last 100. Null for an unknown id. */
  attempts(id: TaskId): Promise<AttemptRecord[] | null>;
  /** PENDING or ended: removed. RUNNING: marked, and removed when the attempt ends. */
  remove(id: TaskId): Promise<RemoveResult>;
  /** PENDING: CANCELLED. RUNNING: marked, and CANCELLED when the attempt ends, unless it completes. */
  cancel(id: TaskId): Promise<CancelResult>;
  /** FAILED or CANCELLED: PENDING, due now, with no failures charged. */
  retry(id: TaskId): Promise<RetryResult>;
  /** PENDING: due now. */
  run(id: TaskId): Promise<RunResult>;
  /**
   * PENDING: changed.
   * @param versions of which it must be one; undefined: any
   */
  patch(id: TaskId, change: TaskChange, versions?: readonly string[]): Promise<PatchResult>;
  cluster(): Promise<{ partitions: PartitionView[]; workers: WorkerView[] }>;
  /** Resolves when a trivial query was answered and the schema is there. */
  ping(): Promise<void>;
}

// ---------------------------------------------------------------- worker-node: ownership and lease (keeper thread)

export interface PartitionEpoch {
  readonly partition: number;
  readonly epoch: number;
}

export interface SessionRenewal {
  readonly dbNowMs: number;
  readonly expiresAtMs: number;
}

export interface OwnershipStore {
  /** @throws StoreNotInitialisedError before cluster-init */
  readMeta(): Promise<ClusterMeta>;
  /** Creates or extends the leases of `incarnations` of `workerId` to `leaseMs` from now. */
  renew(workerId: string, incarnations: readonly string[], leaseMs: number): Promise<SessionRenewal>;
  /** Ends a lease whose incarnation runs nothing and owns nothing any more. */
  endSession(incarnation: string): Promise<void>;
  /**
   * Takes each partition whose row stands at a lower epoch, or at this epoch under this incarnation already
   * (a repeated call). The rest is fenced: reported with the epoch the database holds.
   * Waits for claims in flight, at most `lockTimeoutMs`; then ends the backends of the incarnation that hold it up and tries again.
   */
  acquire(request: {
    readonly workerId: string;
    readonly incarnation: string;
    readonly grants: readonly PartitionEpoch[];
    readonly lockTimeoutMs: number;
  }): Promise<{ owned: PartitionEpoch[]; fenced: PartitionEpoch[] }>;
  /** Clears the owner of each partition still held at that epoch by `incarnation`; the epoch stays. Waits for claims in flight. */
  release(incarnation: string, parts: readonly PartitionEpoch[]): Promise<void>;
}

// ---------------------------------------------------------------- worker-node: claims and outcomes (main loop)

/** A partition the worker believes it owns, under which epoch and incarnation. */
export interface Held extends PartitionEpoch {
  readonly incarnation: string;
}

/** A place in a partition's tasks without a priority, ordered by due time and then id. */
export interface Position {
  readonly dueAtMs: number;
  readonly id: TaskId;
}

/** A partition to be searched for tasks beyond a position; from the beginning where there is none. */
export interface Beyond {
  readonly partition: number;
  readonly after?: Position | undefined;
  /** No record of a claim stands there that is older. */
  readonly oldestRecord?: number | undefined;
}

/** Whether tasks of a name are looked for: only those of `names`, where `listed`, or all but those. */
export interface NameFilter {
  readonly names: readonly string[];
  readonly listed: boolean;
}

export const ANY_NAME: NameFilter = { names: [], listed: false };

/** A record of a claim: what it took in one partition. */
export interface ClaimRecord {
  readonly partition: number;
  readonly record: number;
}

export interface ClaimedTask extends ClaimRecord {
  readonly id: TaskId;
  readonly name: string;
  readonly epoch: number;
  readonly incarnation: string;
  readonly attempt: number;
  readonly failures: number;
  readonly policy: TaskPolicy | null;
  readonly priority: number;
  readonly serial: boolean;
  readonly scheduledAtMs: number;
  readonly dueAtMs: number;
  readonly claimedAtMs: number;
  /** Where it came with the claim. */
  readonly payload?: Json | undefined;
  /** It can be read together with many others. */
  readonly payloadIsShort?: boolean;
}

export interface ClaimResult {
  /** Partitions whose fence held: where one asked for is missing, it is owned by someone else by now. */
  readonly held: number[];
  /** For each of them, the oldest record of a claim that stands there, or that may ever stand there from now on. */
  readonly oldestRecords: number[];
  readonly tasks: ClaimedTask[];
  /** How many tasks such as these a reply holds, as it is bounded in bytes; Infinity where their payloads fit as well. */
  readonly fitting: number;
  readonly dbNowMs: number;
}

/** What a handler threw, or what else ended an attempt; each bounded. */
export interface AttemptError {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
}

/** How an attempt ended. `HANDED_BACK`: PENDING again, at once or later, not charged to the failure budget. */
export type AttemptEnd =
  | { readonly kind: 'COMPLETED'; /** JSON text. */ readonly result?: string | null }
  | { readonly kind: 'RETRY'; readonly delayMs: number; readonly error: string | AttemptError }
  | { readonly kind: 'FAILED'; readonly error: string | AttemptError }
  | { readonly kind: 'HANDED_BACK'; readonly delayMs?: number };

export interface Outcome {
  readonly id: TaskId;
  readonly attempt: number;
  readonly epoch: number;
  readonly incarnation: string;
  readonly workerId: string;
  readonly claimedAtMs: number;
  readonly partition: number;
  /** Whether others of its key may be waiting for it. */
  readonly serial: boolean;
  readonly end: AttemptEnd;
}

/** How far an attempt has got. */
export interface ProgressReport
  extends TaskProgress, Pick<ClaimedTask, 'id' | 'attempt' | 'incarnation' | 'partition' | 'record'> {}

/** `recorded`: by this call or, its reply lost, by an earlier one. `refused`: the attempt is no longer ours. */
export type OutcomeResult = 'recorded' | 'refused';

/** A task the database says is running under one of our incarnations. */
export interface RunningRow extends ClaimedTask {
  readonly claimId: string;
  /** A user wants it gone: abort it; its record goes with its outcome. */
  readonly cancelRequested: boolean;
}

export interface Recovered {
  readonly id: TaskId;
  readonly partition: number;
  readonly attempt: number;
  readonly fromWorkerId: string | null;
  /** `REMOVED`: a user had asked for its removal. */
  readonly became: 'PENDING' | 'FAILED' | 'REMOVED';
}

/** What one call has made of the tasks that ended long ago. */
export interface RemovedFinished {
  /** Those it has come past. */
  readonly passed: number;
  readonly removed: number;
  /** How long before what is not removed yet the last one passed was created, ms; null: none was passed. */
  readonly toGoMs: number | null;
  /** There is no more to do for now. */
  readonly done: boolean;
}

export interface ExecutionStore {
  /**
   * The earliest due time of each of `partitions` that has a PENDING task due within `horizonMs`, and whether others than
   * `own` incarnations run anything in them. Takes no locks.
   */
  peek(
    partitions: readonly Beyond[],
    horizonMs: number,
    own: readonly string[],
    names?: NameFilter,
  ): Promise<{ dbNowMs: number; due: { partition: number; dueAtMs: number }[]; othersRun: boolean }>;
  /** How many due tasks of `partitions` have none of these names, by name; of a long backlog only its beginning is counted. */
  unhandled(
    partitions: readonly number[],
    names: readonly string[],
  ): Promise<{ readonly name: string; readonly count: number }[]>;
  /**
   * Claims up to `limit` due PENDING tasks of `held`, by priority and then the oldest due first, where each partition's fence (epoch and
   * incarnation) still stands; fewer may be all that are due, or all that fit. Payloads that do not fit as well, and long ones, are read apart.
   */
  claim(request: {
    readonly claimId: string;
    readonly workerId: string;
    readonly held: readonly (Held & Beyond)[];
    readonly limit: number;
    readonly names?: NameFilter;
  }): Promise<ClaimResult>;
  /** Of those attempts that are still running as the database knows it; the others are missing. */
  payloads(
    attempts: readonly Pick<ClaimedTask, 'id' | 'attempt' | 'incarnation' | 'partition' | 'record'>[],
  ): Promise<Map<TaskId, Json>>;
  /**
   * Records outcomes, each at most once, fenced by the attempt; after a serial task the next of its line may be claimed. In
   * the order of `outcomes`.
   * @param settled the records all of whose tasks have ended with these outcomes or before
   */
  finish(outcomes: readonly Outcome[], settled: readonly ClaimRecord[]): Promise<OutcomeResult[]>;
  /**
   * Stores how far attempts have got, of those that are still running as the database knows it. Waits for nobody: what
   * somebody is changing is left out.
   * @returns of which it was stored
   */
  reportProgress(reports: readonly ProgressReport[]): Promise<TaskId[]>;
  /**
   * What the database believes `incarnations` to be running in the partitions of `within`: the read-back after a lost reply, and the
   * cancellations. Not what records older than `oldestRecord` name.
   */
  running(
    incarnations: readonly string[],
    within: readonly Pick<Beyond, 'partition' | 'oldestRecord'>[],
  ): Promise<RunningRow[]>;
  /**
   * In the partitions whose fence holds, ends attempts whose claimer's lease is over: charged as a failure with
   * the reason recorded; PENDING again, FAILED or removed, see {@link afterLoss}.
   * Never what `own` incarnations run, nor what records older than `oldestRecord` name. Does nothing until the caller's lease has been renewed without a gap for
   * its whole length: after an outage of the database, everybody renews before anybody is taken for dead.
   */
  recover(request: {
    readonly held: readonly (Held & Pick<Beyond, 'oldestRecord'>)[];
    readonly own: readonly string[];
    /** In [0, 1), at random. */
    readonly jitter: number;
  }): Promise<Recovered[]>;
  /** Clears away sessions, whoever's, that ended over an hour ago and neither own nor run anything. */
  clearSessions(): Promise<void>;
  /**
   * Removes tasks that ended over `keepMs` ago, with their attempts; goes on where the last call, whoever made it, has stopped.
   * Begins anew, once it is done, where it last did so over `passMs` ago.
   * @returns null where another call is at work
   */
  removeFinished(request: {
    readonly keepMs: number;
    readonly passMs: number;
    /** How many ids it goes past at most. */
    readonly span: number;
    /** How many tasks. */
    readonly most: number;
  }): Promise<RemovedFinished | null>;
}
