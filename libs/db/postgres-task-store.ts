import { and, asc, desc, eq, gt, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import type { NodePgDatabase } from 'drizzle-orm/node-postgres';
import type { QueryResultRow } from 'pg';
import { invariant } from '../core/invariant.ts';
import type { Json } from '../core/task.ts';
import type { Database } from './client.ts';
import { toStoreError } from './pg-errors.ts';
import { clusterMeta, epochMs, partitionOwner, taskAttempt, taskState, workerSession } from './schema.ts';
import { loadStatement, run, runForOne } from './statement.ts';
import type { Statement } from './statement.ts';
import { InvalidInputError, StoreNotInitialisedError } from './stores.ts';
import type {
  AttemptRecord,
  ClusterMeta,
  NewTask,
  NotStored,
  TaskOnce,
  TaskProgress,
  TaskRecord,
  TaskStore,
} from './stores.ts';

const insertTasks = loadStatement('insert-tasks');
const removeTask = loadStatement('remove-task');
const cancelTask = loadStatement('cancel-task');
const retryTask = loadStatement('retry-task');
const runTask = loadStatement('run-task');
const patchTask = loadStatement('patch-task');

/** Workers gone for longer, and owning nothing, are no news any more. */
const SHOW_DEAD_WORKERS = sql`interval '5 minutes'`;

/** The scheduler-api's view of the database. `db` stays the caller's to close. */
export function postgresTaskStore({ db }: { readonly db: Database }): TaskStore {
  const orm = drizzle({ client: db });
  return {
    readMeta: () => readMeta(db),
    insert: (tasks) => insert(db, tasks),
    insertOnce: (tasks, keepMs) => insertOnce(db, tasks, keepMs),
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

/** @throws StoreNotInitialisedError before cluster-init */
export async function readMeta(db: Database): Promise<ClusterMeta> {
  const [meta] = await storeErrors(
    drizzle({ client: db })
      .select({ uid: clusterMeta.uid, partitions: clusterMeta.partitions })
      .from(clusterMeta),
  );
  if (meta === undefined) throw notInitialised();
  return meta;
}

const notInitialised = () => new StoreNotInitialisedError('cluster-init has not recorded this cluster yet');

async function storeErrors<T>(query: PromiseLike<T>): Promise<T> {
  try {
    return await query;
  } catch (error) {
    throw toStoreError(error);
  }
}

interface InsertedRow {
  readonly id: number;
  readonly partition_id: number;
  readonly created_ms: number;
  readonly became: 'stored' | 'repeated' | NotStored;
}

async function insert(db: Database, tasks: readonly NewTask[]): Promise<TaskRecord[]> {
  const rows = await insertRows(db, tasks, [], [], 0);
  return tasks.map((task, index) => toNewRecord(task, rows[index]));
}

async function insertOnce(
  db: Database,
  asked: readonly TaskOnce[],
  keepMs: number,
): Promise<(TaskRecord | NotStored)[]> {
  const rows = await insertRows(
    db,
    asked.map(({ task }) => task),
    asked.map(({ once }) => once && once.key),
    asked.map(({ once }) => once && once.fingerprint),
    keepMs,
  );
  return asked.map(({ task }, index) => {
    const row = rows[index];
    return row?.became === 'reused' || row?.became === 'in flight' ? row.became : toNewRecord(task, row);
  });
}

async function insertRows(
  db: Database,
  tasks: readonly NewTask[],
  once: readonly (string | null)[],
  fingerprints: readonly (string | null)[],
  keepMs: number,
): Promise<InsertedRow[]> {
  if (tasks.length === 0) return [];
  const rows = await run<InsertedRow & QueryResultRow>(db, insertTasks, [
    tasks.map(({ name }) => name),
    tasks.map(({ key }) => key),
    tasks.map(({ payload }) => toJsonText(payload)),
    tasks.map(({ scheduledAtMs }) => scheduledAtMs),
    tasks.map(({ delayMs = null }) => delayMs),
    tasks.map(toMoreText),
    ...[once, fingerprints, keepMs],
  ]);
  if (rows.length === 0) throw notInitialised();
  return rows;
}

/** As it is when it has been stored. */
function toNewRecord(task: NewTask, row: InsertedRow | undefined): TaskRecord {
  invariant(row !== undefined, 'insert-tasks returned fewer rows than tasks');
  const { name, key, payload, policy = null, priority = 0, tags = null, serial = false } = task;
  return {
    id: row.id,
    name,
    key,
    partitionId: row.partition_id,
    payload,
    status: 'PENDING',
    scheduledAtMs: task.scheduledAtMs ?? row.created_ms + (task.delayMs ?? 0),
    createdAtMs: row.created_ms,
    attempt: 0,
    failures: 0,
    startedAtMs: null,
    completedAtMs: null,
    workerId: null,
    leaseExpiresAtMs: null,
    lastError: null,
    policy,
    priority,
    tags,
    serial,
    progress: null,
    result: null,
    revision: 0,
  };
}

/** What is not as usual of a task, as JSON text; null: everything is. */
function toMoreText({ policy, priority = 0, tags, serial = false }: NewTask): string | null {
  const more = {
    ...(policy && { policy }),
    ...(priority !== 0 && { priority }),
    ...(tags && { tags }),
    ...(serial && { serial }),
  };
  return Object.keys(more).length === 0 ? null : JSON.stringify(more);
}

function toJsonText(payload: NewTask['payload']): string {
  try {
    return JSON.stringify(payload);
  } catch (error) {
    // Nested so deep that writing it out overflows the stack.
    throw new InvalidInputError((error as Error).message, { cause: error });
  }
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
