import { and, asc, desc, eq, gt, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import type { NodePgDatabase } from 'drizzle-orm/node-postgres';
import type { Json } from '../core/task.ts';
import type { Database } from './client.ts';
import { insertTasks, insertTasksOnce, toJsonText } from './insert-tasks.ts';
import { storeErrors } from './pg-errors.ts';
import { readMeta } from './read-meta.ts';
import { epochMs, partitionOwner, taskAttempt, taskState, workerSession } from './schema.ts';
import { loadStatement, runForOne } from './statement.ts';
import type { Statement } from './statement.ts';
import type { AttemptRecord, TaskProgress, TaskRecord, TaskStore } from './stores.ts';

const removeTask = loadStatement('remove-task');
const cancelTask = loadStatement('cancel-task');
const retryTask = loadStatement('retry-task');
const runTask = loadStatement('run-task');
const patchTask = loadStatement('patch-task');

/** From how many tasks in one statement on a round trip more takes less than their partitions would. */
const SHARD_FROM = 100;

/** Workers gone for longer, and owning nothing, are no news any more. */
const SHOW_DEAD_WORKERS = sql`interval '5 minutes'`;

export interface TaskStoreOptions {
  readonly db: Database;
  /** From how many tasks in one statement on their partitions are computed here, and not by the database. */
  readonly shardFrom?: number;
}

/** The scheduler-api's view of the database. `db` stays the caller's to close. */
export function postgresTaskStore({ db, shardFrom = SHARD_FROM }: TaskStoreOptions): TaskStore {
  const orm = drizzle({ client: db });
  return {
    readMeta: () => readMeta(db),
    insert: (tasks) => insertTasks(db, tasks, shardFrom),
    insertOnce: (tasks, keepMs) => insertTasksOnce(db, tasks, keepMs, shardFrom),
    get: (id) => storeErrors(getTask(orm, id)),
    attempts: (id) => storeErrors(readAttempts(orm, id)),
    remove: (id) => change(db, removeTask, [id]),
    cancel: (id) => change(db, cancelTask, [id]),
    retry: (id) => change(db, retryTask, [id]),
    run: (id) => change(db, runTask, [id]),
    patch: (id, { scheduledAtMs, delayMs, payload, maxAttempts, priority }, versions) =>
      change(db, patchTask, [
        ...[id, versions, scheduledAtMs, delayMs],
        ...[payload === undefined ? undefined : toJsonText(payload), maxAttempts, priority],
      ]),
    cluster: () => storeErrors(readCluster(orm)),
    async ping() {
      await readMeta(db);
    },
  };
}

/** What a user does to one task. @returns what became of it */
async function change<Result extends string>(
  db: Database,
  statement: Statement,
  values: unknown[],
): Promise<Result | 'unknown'> {
  const { result } = await runForOne<{ result: Result | null }>(db, statement, values);
  return result ?? 'unknown';
}

async function getTask(orm: NodePgDatabase, id: number): Promise<TaskRecord | null> {
  const [record] = await orm
    .select({
      id: taskState.id,
      name: taskState.name,
      key: taskState.key,
      partitionId: taskState.partitionId,
      // Raw: drizzle would parse a payload that is a string once more, and make a number of "0".
      payload: sql<Json>`${taskState.payload}`,
      status: taskState.status,
      scheduledAtMs: epochMs(taskState.scheduledAt),
      createdAtMs: epochMs(taskState.createdAt),
      attempt: taskState.attempt,
      failures: taskState.failures,
      startedAtMs: epochMs(taskState.startedAt),
      completedAtMs: epochMs(taskState.completedAt),
      workerId: taskState.workerId,
      leaseExpiresAtMs: epochMs(workerSession.expiresAt),
      lastError: taskState.lastError,
      policy: taskState.policy,
      priority: taskState.priority,
      tags: taskState.tags,
      serial: taskState.serial,
      progress: sql<TaskProgress | null>`CASE WHEN (${taskState.progress} ->> 'attempt')::integer = ${taskState.attempt}
        THEN ${taskState.progress} - 'attempt' END`,
      // Raw, as the payload.
      result: sql<Json | null>`${taskState.result}`,
      revision: taskState.revision,
    })
    .from(taskState)
    .leftJoin(
      workerSession,
      and(eq(workerSession.incarnation, taskState.incarnation), eq(taskState.status, 'RUNNING')),
    )
    .where(eq(taskState.id, id));
  return record ?? null;
}

async function readAttempts(orm: NodePgDatabase, id: number): Promise<AttemptRecord[] | null> {
  const [task] = await orm
    .select({
      status: taskState.status,
      attempt: taskState.attempt,
      workerId: taskState.workerId,
      epoch: taskState.epoch,
      startedAtMs: epochMs(taskState.startedAt),
      endedAtMs: epochMs(taskState.completedAt),
    })
    .from(taskState)
    .where(eq(taskState.id, id));
  if (task === undefined) return null;
  const kept = await orm
    .select({
      attempt: taskAttempt.attempt,
      workerId: taskAttempt.workerId,
      epoch: taskAttempt.epoch,
      startedAtMs: epochMs(taskAttempt.startedAt),
      endedAtMs: epochMs(taskAttempt.endedAt),
      outcome: taskAttempt.outcome,
      error: taskAttempt.error,
    })
    .from(taskAttempt)
    .where(eq(taskAttempt.taskId, id))
    .orderBy(desc(taskAttempt.attempt));
  const { status, attempt, workerId, epoch, startedAtMs, endedAtMs } = task;
  if (status !== 'RUNNING' && status !== 'COMPLETED') return kept;
  const last = {
    ...{ attempt, workerId: workerId ?? '', epoch: epoch ?? 0, startedAtMs: startedAtMs ?? 0, error: null },
    ...(status === 'RUNNING' ? { endedAtMs: null, outcome: null } : { endedAtMs, outcome: status }),
  };
  // Read one after the other: it may have ended in between.
  return [last, ...kept.filter((record) => record.attempt < attempt)];
}

async function readCluster(orm: NodePgDatabase): ReturnType<TaskStore['cluster']> {
  const partitions = await orm
    .select({ id: partitionOwner.partitionId, owner: partitionOwner.owner, epoch: partitionOwner.epoch })
    .from(partitionOwner)
    .orderBy(asc(partitionOwner.partitionId));
  const sessions = await orm
    .selectDistinctOn([workerSession.workerId], {
      id: workerSession.workerId,
      alive: gt(workerSession.expiresAt, sql`now()`).mapWith(Boolean),
      recent: sql<boolean>`${workerSession.expiresAt} > now() - ${SHOW_DEAD_WORKERS}`,
      leaseExpiresAtMs: epochMs(workerSession.expiresAt),
    })
    .from(workerSession)
    .orderBy(asc(workerSession.workerId), desc(workerSession.startedAt), desc(workerSession.expiresAt));
  const workers = sessions
    .map(({ recent, ...session }) => {
      const owned = partitions.filter(({ owner }) => owner === session.id).map(({ id }) => id);
      return { recent, worker: { ...session, partitions: owned } };
    })
    .filter(({ recent, worker }) => recent || worker.partitions.length > 0)
    .map(({ worker }) => worker);
  return { partitions, workers };
}
