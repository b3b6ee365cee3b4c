/**
 * The limit of submission over HTTP: fastify takes what the API takes and answers what the API answers, with the
 * API's own schema, and stores nothing.
 */
import Fastify from 'fastify';
import { SubmittedTask } from '../../apps/scheduler-api/schemas.ts';
import { serve } from '../remote.ts';

const HOST = '127.0.0.1';

const server = Fastify();
let lastId = 0;

server.get('/readyz', () => ({ status: 'ok' }));
server.post('/tasks', { schema: { response: { 201: SubmittedTask } } }, async (request, reply) => {
  const { name, payload } = request.body as { name: string; payload: unknown };
  const id = ++lastId;
  const now = new Date().toISOString();
  return reply
    .code(201)
    .header('location', `/tasks/${id}`)
    .send({
      id,
      eventName: name,
      status: 'PENDING',
      partitionId: id % 64,
      scheduledTime: now,
      payload,
      key: null,
      attempt: 0,
      createdAt: now,
    });
});

serve({ listen: () => server.listen({ host: HOST, port: 0 }) }, () => server.close());
