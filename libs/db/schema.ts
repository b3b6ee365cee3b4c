/** The tables as drizzle sees them, for reads off the hot path. migrations/ make them; a test compares the two. */
import {
  bigint,
  boolean,
  integer,
  smallint,
  json,
  jsonb,
  pgTable,
  pgView,
  primaryKey,
  text,
  timestamp,
  uuid,
} from 'drizzle-orm/pg-core';
import { sql } from 'drizzle-orm';
import type { AnyPgColumn } from 'drizzle-orm/pg-core';
import type { SQL } from 'drizzle-orm';
import type { Json, TaskPolicy, TaskStatus } from '../core/task.ts';
import type { AttemptError, TaskProgress } from './stores.ts';

const time = (name: string) => timestamp(name, { withTimezone: true });
const count = (name: string) => bigint(name, { mode: 'number' });

export const clusterMeta = pgTable('cluster_meta', {
  singleton: boolean('singleton').primaryKey().default(true),
  uid: text('uid').notNull(),
  partitions: integer('partitions').notNull(),
  createdAt: time('created_at').notNull().defaultNow(),
});

export const partitionOwner = pgTable('partition_owner', {
  partitionId: integer('partition_id').primaryKey(),
  epoch: count('epoch').notNull().default(0),
  owner: text('owner'),
  incarnation: text('incarnation'),
  acquiredAt: time('acquired_at'),
});

export const workerSession = pgTable('worker_session', {
  incarnation: text('incarnation').primaryKey(),
  workerId: text('worker_id').notNull(),
  backendName: text('backend_name').notNull(),
  leaseMs: integer('lease_ms').notNull(),
  expiresAt: time('expires_at').notNull(),
  unbrokenSince: time('unbroken_since').notNull().defaultNow(),
  startedAt: time('started_at').notNull().defaultNow(),
});

const taskColumns = {
  id: count('id').primaryKey().generatedByDefaultAsIdentity(),
  partitionId: integer('partition_id').notNull(),
  status: text('status').$type<TaskStatus>().notNull().default('PENDING'),
  attempt: integer('attempt').notNull().default(0),
  failures: integer('failures').notNull().default(0),
  dueAt: time('due_at').notNull(),
  scheduledAt: time('scheduled_at').notNull(),
  createdAt: time('created_at').notNull().defaultNow(),
  startedAt: time('started_at'),
  completedAt: time('completed_at'),
  cancelRequestedAt: time('cancel_requested_at'),
  incarnation: text('incarnation'),
  workerId: text('worker_id'),
  name: text('name').notNull(),
  key: text('key'),
  lastError: text('last_error'),
  payload: json('payload').$type<Json>().notNull(),
  policy: jsonb('policy').$type<TaskPolicy>(),
  result: jsonb('result').$type<Json>(),
  removalRequested: boolean('removal_requested').notNull().default(false),
  revision: integer('revision').notNull().default(0),
  priority: smallint('priority').notNull().default(0),
  tags: text('tags').array(),
  serial: boolean('serial').notNull().default(false),
  /** Null: not serial. */
  blocked: boolean('blocked'),
  progress: jsonb('progress').$type<TaskProgress & { readonly attempt: number }>(),
  epoch: count('epoch'),
};

/** What stands in the rows: an attempt that runs is in no task's row, but in the record of a claim. */
export const task = pgTable('task', taskColumns);

/** Attempts that have ended otherwise than COMPLETED. */
export const taskAttempt = pgTable(
  'task_attempt',
  {
    taskId: count('task_id').notNull(),
    attempt: integer('attempt').notNull(),
    workerId: text('worker_id').notNull(),
    epoch: count('epoch').notNull(),
    startedAt: time('started_at').notNull(),
    endedAt: time('ended_at').notNull().defaultNow(),
    outcome: text('outcome').$type<'FAILED' | 'HANDED_BACK' | 'LOST'>().notNull(),
    error: jsonb('error').$type<AttemptError>(),
  },
  ({ taskId, attempt }) => [primaryKey({ columns: [taskId, attempt] })],
);

export const claimRecord = pgTable(
  'claim_record',
  {
    partitionId: integer('partition_id').notNull(),
    id: count('id').notNull(),
    claimId: uuid('claim_id').notNull(),
    incarnation: text('incarnation').notNull(),
    workerId: text('worker_id').notNull(),
    epoch: count('epoch').notNull(),
    claimedAt: time('claimed_at').notNull().defaultNow(),
    taskIds: count('task_ids').array().notNull(),
    attempts: integer('attempts').array().notNull(),
  },
  ({ partitionId, id }) => [primaryKey({ columns: [partitionId, id] })],
);

/** How far the removal of what ended long ago has come. */
export const retention = pgTable('retention', {
  singleton: boolean('singleton').primaryKey().default(true),
  place: count('place').notNull().default(0),
  begunAt: time('begun_at').notNull().defaultNow(),
});

/** Both together, as readers see a task. */
export const taskState = pgView('task_state', taskColumns).existing();

/** A time column in milliseconds since the Unix epoch, whatever its year; null stays null. */
export function epochMs(column: AnyPgColumn<{ notNull: true }>): SQL<number>;
export function epochMs(column: AnyPgColumn): SQL<number | null>;
export function epochMs(column: AnyPgColumn): SQL<number | null> {
  return sql`epoch_ms(${column})`.mapWith(Number);
}
