import type { TaskId } from '../../../libs/core/task.ts';
import { unreachable } from '../../../libs/core/invariant.ts';
import type { TaskStore } from '../../../libs/db/stores.ts';
import type { FastifyReply } from 'fastify';
import Type from 'typebox';
import type { Api } from '../app.ts';
import type { InTime } from '../deadline.ts';
import { etagOf, versionsOf } from '../etag.ts';
import { Problem } from '../problem.ts';
import { Attempts, CancelRequested, Task, presentAttempts, presentTask } from '../schemas.ts';
import { readChange } from '../submission.ts';

export function addTaskRoutes(
  api: Api,
  { store, inTime }: { readonly store: TaskStore; readonly inTime: InTime },
): void {
  const params = Type.Object({ id: Type.String() });

  /** The task as it is by now. */
  const send = async (reply: FastifyReply, id: TaskId) => {
    const record = await inTime(store.get(id));
    if (record === null) throw taskNotFound(id);
    return reply.header('etag', etagOf(record)).send(presentTask(record));
  };

  api.get('/tasks/:id', { schema: { params, response: { 200: Task } } }, (request, reply) =>
    send(reply, parseTaskId(request.params.id)),
  );

  api.get('/tasks/:id/attempts', { schema: { params, response: { 200: Attempts } } }, async (request) => {
    const id = parseTaskId(request.params.id);
    const records = await inTime(store.attempts(id));
    if (records === null) throw taskNotFound(id);
    return presentAttempts(records);
  });

  api.patch('/tasks/:id', { schema: { params, response: { 200: Task } } }, async (request, reply) => {
    const id = parseTaskId(request.params.id);
    const versions = versionsOf(request.headers['if-match']);
    const result = await inTime(store.patch(id, readChange(request.body), versions));
    if (result !== 'patched') throw refusal(id, result);
    return send(reply, id);
  });

  api.post(
    '/tasks/:id/cancel',
    { schema: { params, response: { 200: Task, 202: CancelRequested } } },
    async (request, reply) => {
      const id = parseTaskId(request.params.id);
      const result = await inTime(store.cancel(id));
      if (result === 'cancelling') return reply.code(202).send({ id, cancelRequested: true });
      if (result !== 'cancelled') throw refusal(id, result);
      return send(reply, id);
    },
  );

  api.post('/tasks/:id/retry', { schema: { params, response: { 200: Task } } }, async (request, reply) => {
    const id = parseTaskId(request.params.id);
    const result = await inTime(store.retry(id));
    if (result !== 'retried') throw refusal(id, result);
    return send(reply, id);
  });

  api.post('/tasks/:id/run', { schema: { params, response: { 200: Task } } }, async (request, reply) => {
    const id = parseTaskId(request.params.id);
    const result = await inTime(store.run(id));
    if (result !== 'due') throw refusal(id, result);
    return send(reply, id);
  });

  api.delete(
    '/tasks/:id',
    { schema: { params, response: { 202: CancelRequested, 204: Type.Null() } } },
    async (request, reply) => {
      const id = parseTaskId(request.params.id);
      const result = await inTime(store.remove(id));
      switch (result) {
        case 'removed':
          return reply.code(204).send(null);
        case 'cancelling':
          return reply.code(202).send({ id, cancelRequested: true });
        case 'unknown':
          throw taskNotFound(id);
        default:
          return unreachable(result);
      }
    },
  );
}

/** @throws Problem `invalid-task-id` where `text` is no id that a task could have */
function parseTaskId(text: string): TaskId {
  const id = Number(text);
  if (!/^(0|[1-9]\d*)$/.test(text) || !Number.isSafeInteger(id)) {
    const detail = 'must be a whole number below 2^53';
    throw new Problem('invalid-task-id', {
      detail: `The task id ${detail}.`,
      errors: [{ pointer: '/id', detail }],
    });
  }
  return id;
}

/** Why nothing was changed. */
function refusal(
  id: TaskId,
  state: 'changed' | 'running' | 'waiting' | 'ended' | 'completed' | 'failed' | 'cancelled' | 'unknown',
): Problem {
  switch (state) {
    case 'unknown':
      return taskNotFound(id);
    case 'changed':
      return new Problem('task-changed', { detail: `Task ${id} is not of the version that If-Match names.` });
    case 'running':
      return new Problem('task-running', { detail: `Task ${id} is running.` });
    case 'waiting':
      return new Problem('task-waiting', { detail: `Task ${id} waits for its time.` });
    case 'ended':
    case 'completed':
    case 'failed':
    case 'cancelled':
      return new Problem('task-ended', {
        detail: `Task ${id} has ended${state === 'ended' ? '' : ` as ${state.toUpperCase()}`}.`,
      });
    default:
      return unreachable(state);
  }
}

function taskNotFound(id: TaskId): Problem {
  return new Problem('task-not-found', { detail: `There is no task ${id}.` });
}
