/** The rows of the schema's tables (libs/db/migrations), immutable values; times in ms since the Unix epoch. */
import type { Json, TaskPolicy, TaskStatus } from '../../libs/core/task.ts';
import type { TaskProgress } from '../../libs/db/stores.ts';
import { DatabaseError } from './database-error.ts';

/** What runs stands in the records of claims; see {@link TaskState} for both together. */
export interface TaskRow {
  readonly id: number;
  readonly partitionId: number;
  readonly status: Exclude<TaskStatus, 'RUNNING'>;
  readonly attempt: number;
  readonly failures: number;
  readonly dueAt: number;
  readonly scheduledAt: number;
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly completedAt: number | null;
  readonly cancelRequestedAt: number | null;
  readonly incarnation: string | null;
  readonly workerId: string | null;
  /** Of the last attempt that has ended. */
  readonly epoch: number | null;
  readonly name: string;
  readonly key: string | null;
  readonly lastError: string | null;
  readonly payload: Json;
  readonly policy: TaskPolicy | null;
  readonly result: Json | null;
  readonly removalRequested: boolean;
  readonly revision: number;
  readonly priority: number;
  readonly tags: readonly string[] | null;
  readonly serial: boolean;
  /** Null: not serial. */
  readonly blocked: boolean | null;
  readonly progress: (TaskProgress & { readonly attempt: number }) | null;
}

/** A task runs where a record of its partition names it with the attempt after its row's. */
export interface ClaimRecordRow {
  readonly partitionId: number;
  readonly id: number;
  readonly claimId: string;
  readonly incarnation: string;
  readonly workerId: string;
  readonly epoch: number;
  readonly claimedAt: number;
  readonly taskIds: readonly number[];
  readonly attempts: readonly number[];
}

/** A row of the view task_state. */
export interface TaskState extends Omit<TaskRow, 'status'> {
  readonly status: TaskStatus;
  readonly claimId: string | null;
  /** The id of the record that names it; no column of the view. */
  readonly record: number | null;
}

export interface OwnerRow {
  readonly partitionId: number;
  readonly epoch: number;
  readonly owner: string | null;
  readonly incarnation: string | null;
  readonly acquiredAt: number | null;
}

export interface SessionRow {
  readonly incarnation: string;
  readonly workerId: string;
  readonly backendName: string;
  readonly leaseMs: number;
  readonly expiresAt: number;
  readonly unbrokenSince: number;
  readonly startedAt: number;
}

export interface IdempotencyKeyRow {
  readonly key: string;
  readonly fingerprint: string;
  readonly taskIds: readonly number[];
  readonly partitionIds: readonly number[];
  readonly createdAt: number;
  readonly expiresAt: number;
}

/** The one row of its table, under {@link RETENTION_KEY}. */
export interface RetentionRow {
  readonly place: number;
  readonly begunAt: number;
}

export const RETENTION_KEY = 'true';

/** The CHECK constraints that a statement could break. */
export function checkTask({ attempt, failures, serial, key, blocked }: TaskRow): void {
  if (serial && (key === null || blocked === null)) violated('task_serial_check');
  if (attempt < 0) violated('task_attempt_check');
  if (failures < 0) violated('task_failures_check');
}

export function checkClaimRecord({ taskIds, attempts }: ClaimRecordRow): void {
  if (taskIds.length === 0 || taskIds.length !== attempts.length) violated('claim_record_check');
}

export function checkOwner({ owner, incarnation, acquiredAt }: OwnerRow): void {
  const free = owner === null;
  if (free !== (incarnation === null) || free !== (acquiredAt === null)) violated('partition_owner_check');
}

export function checkSession({ leaseMs }: SessionRow): void {
  if (leaseMs <= 0) violated('worker_session_lease_ms_check');
}

export function checkRetention({ place }: RetentionRow): void {
  if (place < 0) violated('retention_place_check');
}

export const recordKey = ({ partitionId, id }: { partitionId: number; id: number }): string =>
  `${partitionId}/${id}`;

/** Whether the attempt after the row's is one that `record` names: the join of the view task_state. */
export function names(
  { partitionId, taskIds, attempts }: ClaimRecordRow,
  task: Pick<TaskRow, 'id' | 'partitionId' | 'attempt' | 'status'>,
): boolean {
  if (task.status !== 'PENDING' || task.partitionId !== partitionId) return false;
  return attempts[taskIds.indexOf(task.id)] === task.attempt + 1;
}

/** The view task_state of one task; `record` names it, if anything does. */
export function toTaskState(task: TaskRow, record: ClaimRecordRow | undefined): TaskState {
  if (record === undefined) return { ...task, claimId: null, record: null };
  const { id, claimId, epoch, incarnation, workerId, claimedAt } = record;
  return {
    ...task,
    ...{ status: 'RUNNING', attempt: task.attempt + 1, startedAt: claimedAt },
    ...{ record: id, claimId, epoch, incarnation, workerId },
  };
}

function violated(constraint: string): never {
  throw new DatabaseError('23514', `new row violates check constraint "${constraint}"`);
}
