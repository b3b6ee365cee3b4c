/** The shapes of requests and responses. */
import Type from 'typebox';
import type { Static, TSchema } from 'typebox';
import { DEFAULT_POLICY } from '../../libs/core/task.ts';
import type { Json } from '../../libs/core/task.ts';
import type {
  AttemptRecord,
  PartitionView,
  StoredTask,
  TaskRecord,
  WorkerView,
} from '../../libs/db/stores.ts';
import { parseDelay } from './delay.ts';
import { parseScheduledTime } from './scheduled-time.ts';

/** Characters are Unicode code points, as JSON Schema counts them. */
export const MAX_TEXT_LENGTH = 200;

const ShortText = Type.String({ minLength: 1, maxLength: MAX_TEXT_LENGTH });

/** A text that `parse` takes; it says itself why it does not. */
function parsedBy(
  parse: (text: string) => { readonly ok: true } | { readonly ok: false; readonly detail: string },
) {
  return Type.Refine(
    Type.String(),
    (text) => parse(text).ok,
    (text) => {
      const parsed = parse(text);
      return parsed.ok ? '' : parsed.detail;
    },
  );
}

export const MAX_ATTEMPTS = 100;
export const MAX_PRIORITY = 9;
export const MAX_BACKOFF_MS = 7 * 86_400_000;
export const MAX_BACKOFF_FACTOR = 10;
/** The longest a timer can run: 24.8 days. */
export const MAX_TIMEOUT_MS = 2 ** 31 - 1;

const BackoffMs = Type.Integer({ minimum: 0, maximum: MAX_BACKOFF_MS });

/** What can be changed of a task that waits. */
const changeable = {
  scheduledTime: Type.Optional(parsedBy(parseScheduledTime)),
  delay: Type.Optional(parsedBy(parseDelay)),
  payload: Type.Optional(Type.Unsafe<Json>(Type.Unknown())),
  maxAttempts: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_ATTEMPTS })),
  priority: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_PRIORITY })),
};

/** `PATCH /tasks/:id`. */
export const Change = Type.Object(changeable, { additionalProperties: false });

export const MAX_TAGS = 16;
export const MUST_BE_TAGS = `must be an array of at most ${MAX_TAGS} strings that differ`;
export const MAX_BATCH = 10_000;

/** Whether they differ is asked once they are few: `uniqueItems` would be asked of any number, and takes the square of it. */
const Tags = Type.Refine(
  Type.Array(ShortText, { maxItems: MAX_TAGS }),
  (tags) => new Set(tags).size === tags.length,
  () => MUST_BE_TAGS,
);

/** What can be said of a task besides its name. */
const submission = {
  ...changeable,
  key: Type.Optional(ShortText),
  serial: Type.Optional(Type.Boolean()),
  tags: Type.Optional(Tags),
  backoff: Type.Optional(
    Type.Object(
      {
        baseMs: Type.Optional(BackoffMs),
        maxMs: Type.Optional(BackoffMs),
        factor: Type.Optional(Type.Number({ minimum: 1, maximum: MAX_BACKOFF_FACTOR })),
      },
      { additionalProperties: false },
    ),
  ),
  timeoutMs: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_TIMEOUT_MS })),
};

/** `POST /tasks`. */
export const Submission = Type.Object({ name: ShortText, ...submission }, { additionalProperties: false });

/** `POST /jobs`: the same, in other words. */
export const Job = Type.Object({ type: ShortText, ...submission }, { additionalProperties: false });

function nullable<S extends TSchema>(schema: S) {
  return Type.Unsafe<Static<S> | null>({ ...schema, nullable: true });
}

const submittedTask = {
  id: Type.Integer(),
  eventName: Type.String(),
  status: Type.String(),
  partitionId: Type.Integer(),
  scheduledTime: Type.String(),
  payload: Type.Unsafe<Json>(Type.Unknown()),
  key: nullable(Type.String()),
  attempt: Type.Integer(),
  createdAt: Type.String(),
};

/** The answer to `POST /tasks`. */
export const SubmittedTask = Type.Object(submittedTask);

/** The answer to `POST /tasks/batch`, in the order of the tasks. */
export const StoredTasks = Type.Array(
  Type.Object({ id: Type.Integer(), partitionId: Type.Integer(), scheduledTime: Type.String() }),
);

/** `GET /tasks/:id`: the same, with how it is to be run and what happened since. */
export const Task = Type.Object({
  ...submittedTask,
  priority: Type.Integer(),
  serial: Type.Boolean(),
  tags: Type.Array(Type.String()),
  maxAttempts: Type.Integer(),
  backoff: Type.Object({ baseMs: Type.Integer(), maxMs: Type.Integer(), factor: Type.Number() }),
  timeoutMs: nullable(Type.Integer()),
  startedAt: nullable(Type.String()),
  completedAt: nullable(Type.String()),
  workerId: nullable(Type.String()),
  leaseExpiresAt: nullable(Type.String()),
  lastError: nullable(Type.String()),
  progress: nullable(Type.Object({ done: Type.Number(), note: nullable(Type.String()) })),
  result: Type.Unsafe<Json>(Type.Unknown()),
});

/** `GET /tasks/:id/attempts`, the newest first. */
export const Attempts = Type.Object({
  attempts: Type.Array(
    Type.Object({
      attempt: Type.Integer(),
      workerId: Type.String(),
      epoch: Type.Integer(),
      startedAt: Type.String(),
      endedAt: nullable(Type.String()),
      outcome: nullable(Type.String()),
      error: nullable(
        Type.Object({ name: Type.String(), message: Type.String(), stack: Type.Optional(Type.String()) }),
      ),
    }),
  ),
});

/** The 202 of `DELETE /tasks/:id`. */
export const CancelRequested = Type.Object({ id: Type.Integer(), cancelRequested: Type.Literal(true) });

/** `GET /cluster`. */
export const Cluster = Type.Object({
  partitions: Type.Array(
    Type.Object({ id: Type.Integer(), owner: nullable(Type.String()), epoch: Type.Integer() }),
  ),
  workers: Type.Array(
    Type.Object({
      id: Type.String(),
      alive: Type.Boolean(),
      partitions: Type.Array(Type.Integer()),
      leaseExpiresAt: Type.String(),
    }),
  ),
});

export const Health = Type.Object({ status: Type.String() });

/** What is seen of a task as soon as it is stored. */
type SubmittedTaskRecord = StoredTask & Pick<TaskRecord, 'name' | 'status' | 'payload' | 'key' | 'attempt'>;

export function presentSubmittedTask(record: SubmittedTaskRecord): Static<typeof SubmittedTask> {
  return {
    id: record.id,
    eventName: record.name,
    status: record.status,
    partitionId: record.partitionId,
    scheduledTime: rfc3339(record.scheduledAtMs),
    payload: record.payload,
    key: record.key,
    attempt: record.attempt,
    createdAt: rfc3339(record.createdAtMs),
  };
}

export function presentStoredTask({
  id,
  partitionId,
  scheduledAtMs,
}: StoredTask): Static<typeof StoredTasks>[0] {
  return { id, partitionId, scheduledTime: rfc3339(scheduledAtMs) };
}

export function presentTask(record: TaskRecord): Static<typeof Task> {
  const { maxAttempts, backoff, timeoutMs = null } = { ...DEFAULT_POLICY, ...record.policy };
  return {
    ...presentSubmittedTask(record),
    ...{
      priority: record.priority,
      serial: record.serial,
      tags: [...(record.tags ?? [])],
      maxAttempts,
      backoff,
      timeoutMs,
    },
    startedAt: rfc3339OrNull(record.startedAtMs),
    completedAt: rfc3339OrNull(record.completedAtMs),
    workerId: record.workerId,
    leaseExpiresAt: rfc3339OrNull(record.leaseExpiresAtMs),
    lastError: record.lastError,
    progress: record.progress,
    result: record.result,
  };
}

export function presentAttempts(records: readonly AttemptRecord[]): Static<typeof Attempts> {
  return {
    attempts: records.map(({ startedAtMs, endedAtMs, attempt, workerId, epoch, outcome, error }) => ({
      ...{ attempt, workerId, epoch, startedAt: rfc3339(startedAtMs), endedAt: rfc3339OrNull(endedAtMs) },
      ...{ outcome, error },
    })),
  };
}

export function presentCluster(view: {
  partitions: readonly PartitionView[];
  workers: readonly WorkerView[];
}): Static<typeof Cluster> {
  return {
    partitions: view.partitions.map(({ id, owner, epoch }) => ({ id, owner, epoch })),
    workers: view.workers.map(({ id, alive, partitions, leaseExpiresAtMs }) => ({
      id,
      alive,
      partitions: [...partitions],
      leaseExpiresAt: rfc3339(leaseExpiresAtMs),
    })),
  };
}

/** The last time that was written: that of many tasks which are stored together. */
let written = { epochMs: 0, text: new Date(0).toISOString() };

function rfc3339(epochMs: number): string {
  if (epochMs !== written.epochMs) written = { epochMs, text: new Date(epochMs).toISOString() };
  return written.text;
}

function rfc3339OrNull(epochMs: number | null): string | null {
  return epochMs === null ? null : rfc3339(epochMs);
}
