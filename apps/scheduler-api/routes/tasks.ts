import type { TaskId } from '../../../libs/core/task.ts';
import { unreachable } from '../../../libs/core/invariant.ts';
import type { TaskStore } from '../../../libs/db/stores.ts';
import Type from 'typebox';
import type { Api } from '../app.ts';
import type { InTime } from '../deadline.ts';
import { Problem } from '../problem.ts';
import { CancelRequested, SubmittedTask, Task, presentSubmittedTask, presentTask } from '../schemas.ts';
import { readSubmission } from '../submission.ts';
import type { SubmissionBatcher } from '../submission-batcher.ts';

export function addTaskRoutes(
  api: Api,
  {
    store,
    batcher,
    inTime,
  }: { readonly store: TaskStore; readonly batcher: SubmissionBatcher; readonly inTime: InTime },
): void {
  api.post('/tasks', { schema: { response: { 201: SubmittedTask } } }, async (request, reply) => {
    const record = await inTime(batcher.submit(readSubmission(request.body)));
    return reply.code(201).header('location', `/tasks/${record.id}`).send(presentSubmittedTask(record));
  });

  const params = Type.Object({ id: Type.String() });

  api.get('/tasks/:id', { schema: { params, response: { 200: Task } } }, async (request) => {
    const id = parseTaskId(request.params.id);
    const record = await inTime(store.get(id));
    if (record === null) throw taskNotFound(id);
    return presentTask(record);
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

function taskNotFound(id: TaskId): Problem {
  return new Problem('task-not-found', { detail: `There is no task ${id}.` });
}
