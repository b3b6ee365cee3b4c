/** The rows of the schema's tables (libs/db/migrations), immutable values; times in ms since the Unix epoch. */
import type { Json, TaskStatus } from '../../libs/core/task.ts';
import { DatabaseError } from './database-error.ts';

export interface TaskRow {
  readonly id: number;
  readonly partitionId: number;
  readonly status: TaskStatus;
  readonly attempt: number;
  readonly failures: number;
  readonly dueAt: number;
  readonly scheduledAt: number;
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly completedAt: number | null;
  readonly cancelRequestedAt: number | null;
  readonly epoch: number | null;
  readonly claimId: string | null;
  readonly incarnation: string | null;
  readonly workerId: string | null;
  readonly name: string;
  readonly key: string | null;
  readonly lastError: string | null;
  readonly payload: Json;
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

/** The CHECK constraints that a statement could break. */
export function checkTask(task: TaskRow): void {
  if (task.cancelRequestedAt !== null && task.status === 'PENDING') violated('task_check');
  if (task.status !== 'RUNNING') return;
  const { epoch, claimId, incarnation, workerId, startedAt } = task;
  if (epoch === null || claimId === null || incarnation === null || workerId === null || startedAt === null)
    violated('task_check1');
}

export function checkOwner({ owner, incarnation, acquiredAt }: OwnerRow): void {
  const free = owner === null;
  if (free !== (incarnation === null) || free !== (acquiredAt === null)) violated('partition_owner_check');
}

export function checkSession({ leaseMs }: SessionRow): void {
  if (leaseMs <= 0) violated('worker_session_lease_ms_check');
}

function violated(constraint: string): never {
  throw new DatabaseError('23514', `new row violates check constraint "${constraint}"`);
}
