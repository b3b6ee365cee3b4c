import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { Socket } from 'node:net';
import { fastify } from 'fastify';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox';
import type { Clock } from '../../libs/core/clock.ts';
import type { TaskStore } from '../../libs/db/stores.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import { BulkWriter } from './bulk-writer.ts';
import { deadline } from './deadline.ts';
import { addErrorHandling, createErrorHandler, faultNotes, handleClientError } from './error-handler.ts';
import { drainOnClose } from './drain.ts';
import { addBodyParsers } from './json-body.ts';
import { addClusterRoutes } from './routes/cluster.ts';
import { addHealthRoutes } from './routes/health.ts';
import { refuseOtherMethods } from './routes/methods.ts';
import { addSubmissionRoutes } from './routes/submissions.ts';
import { addTaskRoutes } from './routes/tasks.ts';
import { StoreAvailability } from './store-availability.ts';
import type { BatcherLimits } from './submission-batcher.ts';
import { BATCHER_LIMITS, SubmissionBatcher } from './submission-batcher.ts';
import { submissionStream } from './submission-stream.ts';

export type Api = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

export interface AppOptions {
  readonly store: TaskStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits?: Partial<ApiLimits>;
}

export interface ApiLimits extends BatcherLimits {
  /** How long a request may take to be answered; only a database that hangs takes so long. */
  readonly handlerTimeoutMs: number;
  /** A request must have arrived in full within this; one of lines, its next line. */
  readonly requestTimeoutMs: number;
  /** INSERTs of many tasks at a time. */
  readonly bulkWriters: number;
}

export const API_LIMITS: ApiLimits = {
  ...BATCHER_LIMITS,
  handlerTimeoutMs: 15_000,
  requestTimeoutMs: 30_000,
  bulkWriters: 6,
};

const LINGER_MS = 2_000;
/** A payload at its limit may be written three times as long, in escapes; and there is the rest of the task. */
const BODY_LIMIT_BYTES = 1024 * 1024;

/**
 * The HTTP API over a store; it does not listen yet. Its `close()` stops accepting connections, lets the requests
 * in flight finish, in bounded time, and leaves nothing running. The store stays the caller's to close.
 */
export function buildApp({ store, clock, logger, limits: given }: AppOptions): Api {
  const limits = { ...API_LIMITS, ...given };
  const availability = new StoreAvailability({ store, clock, logger });
  const batcher = new SubmissionBatcher({ store, limits });
  const writer = new BulkWriter({
    ...{ store, clock, writers: limits.bulkWriters },
    ...{ idempotencyKeyMs: limits.idempotencyKeyMs, patienceMs: limits.handlerTimeoutMs },
  });
  const stopping = new AbortController();
  /** Connections whose request is never late: it has a patience of its own. */
  const streaming = new WeakSet<Socket>();
  const noteFault = faultNotes({ logger, availability });
  const inTime = deadline(clock, limits.handlerTimeoutMs, noteFault);
  const answerError = createErrorHandler(noteFault);

  const api: Api = fastify({
    // All logging is ours: the framework's quotes requests.
    logger: false,
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: limits.requestTimeoutMs,
    // While stopping, what arrives on a connection that is still open is served like anything else.
    return503OnClosing: false,
    routerOptions: {
      // An id of any length is refused as an id; Node bounds the whole URL at 16 KiB.
      maxParamLength: 16 * 1024,
      // `/tasks/` and `/tasks//` are `/tasks`, and no task with an empty id.
      ignoreTrailingSlash: true,
      ignoreDuplicateSlashes: true,
    },
    http: {
      // Node's own refusal would have no body.
      requireHostHeader: false,
      connectionsCheckingInterval: limits.requestTimeoutMs / 4,
      // Node takes the longer of the two for the one of the whole request.
      headersTimeout: limits.requestTimeoutMs,
    },
    frameworkErrors: answerError,
    clientErrorHandler: (error, socket) => {
      if (error.code !== 'ERR_HTTP_REQUEST_TIMEOUT' || !streaming.has(socket))
        handleClientError(error, socket);
    },
  }).withTypeProvider<TypeBoxTypeProvider>();
  api.setValidatorCompiler(TypeBoxValidatorCompiler);

  addErrorHandling(api, answerError);
  addBodyParsers(api);
  addSubmissionRoutes(api, {
    ...{ batcher, writer, inTime },
    stream: (request, reply) => {
      const { socket } = request.raw;
      streaming.add(socket);
      let lingers = false;
      // What comes next on this connection may be another's.
      reply.raw.once('close', () => {
        if (!lingers) streaming.delete(socket);
      });
      return submissionStream(request.raw, {
        ...{ writer, clock, maxLineBytes: BODY_LIMIT_BYTES, idleMs: limits.requestTimeoutMs },
        stopping: stopping.signal,
        toProblem: (error) => noteFault(error, request),
        onCutShort: () => {
          lingers = true;
          reply.raw.once('finish', () => linger(socket, clock));
        },
      });
    },
  });
  addTaskRoutes(api, { store, inTime });
  addClusterRoutes(api, { store, inTime });
  addHealthRoutes(api, { availability, inTime });
  refuseOtherMethods(api, [
    ...[
      '/tasks',
      '/jobs',
      '/tasks/batch',
      '/tasks/:id',
      '/tasks/:id/cancel',
      '/tasks/:id/retry',
      '/tasks/:id/run',
    ],
    '/tasks/:id/attempts',
    ...['/cluster', '/healthz', '/readyz'],
  ]);

  if (logger.isLevelEnabled('debug')) logRequests(api, logger);
  // A database that is away from the start is said at once, not with the first request.
  api.addHook('onListen', () => availability.check().catch(() => undefined));
  drainOnClose(api, { clock, logger });
  api.addHook('preClose', (done) => {
    stopping.abort();
    done();
  });
  api.addHook('onClose', async () => {
    await batcher.close();
    await writer.close();
    await availability.close();
  });
  return api;
}

/**
 * Closes a connection whose request has not been read to its end: were it cut at once, what is still arriving would be answered
 * with a reset, and with that the last of the response be lost (RFC 9112, section 9.6).
 */
function linger(socket: Socket, clock: Clock): void {
  socket.end();
  const timer = clock.schedule(LINGER_MS, () => socket.destroy());
  socket.once('close', () => timer.cancel());
}

/** Only where it is heard: each request's end has to be waited for. */
function logRequests(api: Api, logger: Logger): void {
  api.addHook('onResponse', ({ method, routeOptions }, { statusCode, elapsedTime }, done) => {
    logger.debug({ method, route: routeOptions.url, status: statusCode, ms: elapsedTime }, 'request');
    done();
  });
}
