import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Readable } from 'node:stream';
import Type from 'typebox';
import type { Api } from '../app.ts';
import type { BulkWriter, Room } from '../bulk-writer.ts';
import type { InTime } from '../deadline.ts';
import { KeysInFlight, readIdempotencyKey } from '../idempotency.ts';
import { NDJSON } from '../json-body.ts';
import { Problem } from '../problem.ts';
import { StoredTasks, SubmittedTask, presentStoredTask, presentSubmittedTask } from '../schemas.ts';
import { readBatch, readJob, readSubmission } from '../submission.ts';
import type { CheckedTask } from '../submission.ts';
import type { SubmissionBatcher } from '../submission-batcher.ts';
import { etagOf } from '../etag.ts';

/** A stream goes past the serializer. */
const Lines = Type.Unsafe<Readable>(Type.Unknown());
/** Of a body of many tasks. */
export const MAX_BATCH_BYTES = 16 * 1024 * 1024;
/** What every task is as it is stored; also of one that was stored before, whose answer is given again. */
const NEW = { status: 'PENDING', attempt: 0, revision: 0 } as const;

export interface SubmissionRoutes {
  readonly batcher: SubmissionBatcher;
  readonly writer: BulkWriter;
  readonly inTime: InTime;
  /** Stores the tasks of a request's body line by line. @returns their outcomes, likewise */
  readonly stream: (request: FastifyRequest, reply: FastifyReply) => Readable;
}

export function addSubmissionRoutes(api: Api, { batcher, writer, inTime, stream }: SubmissionRoutes): void {
  const keys = new KeysInFlight();
  /** Of the arrays that are under way. */
  const rooms = new WeakMap<FastifyRequest, Room>();

  /** One task, whichever way it is spelled. */
  const submitOne = async (
    request: FastifyRequest,
    reply: FastifyReply,
    path: string,
    checked: CheckedTask,
  ) => {
    const once = readIdempotencyKey(request.headers['idempotency-key'], path, request.body);
    const stored = await inTime(keys.during(once, () => batcher.submit({ ...checked, once })));
    const { name, key, payload } = checked.task;
    const record = { ...stored, ...NEW, name, key, payload };
    return reply
      .code(201)
      .header('location', `/tasks/${record.id}`)
      .header('etag', etagOf(record))
      .send(presentSubmittedTask(record));
  };
  const schema = { response: { 201: SubmittedTask } };
  api.post('/tasks', { schema }, (request, reply) =>
    submitOne(request, reply, '/tasks', readSubmission(request.body)),
  );
  api.post('/jobs', { schema }, (request, reply) =>
    submitOne(request, reply, '/jobs', readJob(request.body)),
  );

  api.post(
    '/tasks/batch',
    {
      bodyLimit: MAX_BATCH_BYTES,
      config: { ndjson: true },
      schema: { response: { 200: Lines, 201: StoredTasks } },
      onRequest: (request, reply, done) => {
        if (isNdjson(request)) return done();
        // Before it is read; as much as may come where that is not said.
        const announced = Number(request.headers['content-length'] ?? MAX_BATCH_BYTES);
        const closed = new Promise<void>((resolve) => reply.raw.once('close', () => resolve()));
        rooms.set(request, writer.reserve(Math.min(announced, MAX_BATCH_BYTES), closed));
        done();
      },
    },
    async (request, reply) => {
      if (isNdjson(request)) {
        if (request.headers['idempotency-key'] !== undefined)
          throw new Problem('invalid-idempotency-key', {
            detail: 'Lines are stored one by one, and not once together: send an array instead.',
          });
        // Its outcomes come as tasks are stored: none can have been created by now.
        return reply.code(200).type(NDJSON).send(stream(request, reply));
      }
      const tasks = readBatch(request.body);
      const room = rooms.get(request);
      room?.widenFor(tasks.length);
      const once = readIdempotencyKey(request.headers['idempotency-key'], '/tasks/batch', request.body);
      const stored = keys.during(once, () => writer.together(tasks, once));
      // It may be waited for in vain, and goes on.
      room?.keepFor(stored);
      return reply.code(201).send((await inTime(stored)).map(presentStoredTask));
    },
  );
}

const isNdjson = ({ headers }: FastifyRequest) =>
  headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase() === NDJSON;
