import type { FastifyReply, FastifyRequest } from 'fastify';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { InvalidInputError, StoreNotInitialisedError, StoreUnavailableError } from '../../libs/db/stores.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import type { Api } from './app.ts';
import { unsupportedMediaType } from './json-body.ts';
import { PROBLEM_CONTENT_TYPE, Problem } from './problem.ts';
import type { StoreAvailability } from './store-availability.ts';
import { SubmissionRefusedError } from './submission-batcher.ts';

/** Takes note of what a request failed with, and says what is to be answered. */
export type NoteFault = (error: unknown, request?: FastifyRequest) => Problem;

/** Faults of our own are logged, callers' are not; whether the database is there is followed by `availability`. */
export function faultNotes({
  logger,
  availability,
}: {
  readonly logger: Logger;
  readonly availability: StoreAvailability;
}): NoteFault {
  return (error, request) => {
    availability.report(error);
    const problem = toProblem(error, request);
    if (problem.code === 'internal') {
      const what = { method: request?.method, route: request?.routeOptions.url, fault: traceOf(error) };
      logger.error(
        what,
        request === undefined ? 'a request failed after it was answered' : 'a request failed',
      );
    }
    return problem;
  };
}

/** The one place where a fault becomes an HTTP answer. */
export function createErrorHandler(note: NoteFault) {
  return (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    const problem = note(error, request);
    // As bytes, since to text the framework would add a charset, which this media type does not have.
    void reply
      .code(problem.status)
      .headers(problem.headers)
      .type(PROBLEM_CONTENT_TYPE)
      .send(Buffer.from(problem.serialize()));
  };
}

/** Errors of routes, of the framework and of Node, and the requests that have no route at all. */
export function addErrorHandling(api: Api, answerError: ReturnType<typeof createErrorHandler>): void {
  api.setErrorHandler(answerError);
  api.addHook('onRequest', (request, _reply, done) => done(refusalBeforeBody(request)));
  api.server.on('checkExpectation', (_request, response) => {
    const problem = new Problem('expectation-failed', {
      detail: 'The only expectation met is 100-continue.',
    });
    const body = Buffer.from(problem.serialize());
    response
      .writeHead(problem.status, { 'content-type': PROBLEM_CONTENT_TYPE, 'content-length': body.length })
      .end(body);
  });
}

function refusalBeforeBody(request: FastifyRequest): Problem | undefined {
  if (request.is404) return new Problem('not-found', { detail: 'There is nothing at this path.' });
  if (request.raw.httpVersion === '1.1' && request.headers.host === undefined) {
    return new Problem('malformed-request', { detail: 'The Host header is missing.' });
  }
  return undefined;
}

function toProblem(error: unknown, request?: FastifyRequest): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof StoreUnavailableError) {
    return new Problem('database-unavailable', {
      detail:
        'The database cannot be reached at the moment. What was asked for may or may not have been done.',
    });
  }
  if (error instanceof StoreNotInitialisedError) {
    return new Problem('not-initialised', { detail: 'cluster-init has not run on this database yet.' });
  }
  if (error instanceof InvalidInputError) {
    const detail = 'holds a value that cannot be stored';
    return new Problem('invalid-task', { detail: `The body ${detail}.`, errors: [{ pointer: '', detail }] });
  }
  if (error instanceof SubmissionRefusedError) {
    return new Problem('overloaded', { detail: `Nothing was stored: ${error.message}.` });
  }
  return frameworkProblem(error, request?.routeOptions.bodyLimit);
}

/** fastify's own errors, by their code. Its messages may quote the request: they are not passed on. */
function frameworkProblem(error: unknown, bodyLimit = 0): Problem {
  switch (codeOf(error)) {
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return unsupportedMediaType();
    case 'FST_ERR_CTP_BODY_TOO_LARGE': {
      const detail = `is over the limit of ${bodyLimit} bytes`;
      return new Problem('payload-too-large', {
        detail: `The body ${detail}.`,
        errors: [{ pointer: '', detail }],
      });
    }
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new Problem('malformed-request', { detail: 'The body is not as long as Content-Length says.' });
    case 'FST_ERR_BAD_URL':
      return new Problem('malformed-request', { detail: 'The path is not valid percent-encoding.' });
    default:
      // A body that broke off, and whatever else it holds against the request.
      return isCallersFault(error)
        ? new Problem('malformed-request', { detail: 'The request could not be read.' })
        : new Problem('internal', { detail: 'The request could not be handled; the log says why.' });
  }
}

/**
 * What may be logged of an unexpected fault: names, codes and stack frames, but no messages, since a database's
 * quote the values of the statement, and those are the users' payloads.
 */
function traceOf(error: unknown): { name: string; code: unknown; frames: string[] }[] {
  const trace = [];
  let current = error;
  for (let depth = 0; current instanceof Error && depth < 5; depth++) {
    const frames = (current.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
    trace.push({ name: current.name, code: codeOf(current), frames: frames.map((line) => line.trim()) });
    current = current.cause;
  }
  return trace;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

function isCallersFault(error: unknown): boolean {
  if (!(error instanceof Error) || !('statusCode' in error)) return false;
  return typeof error.statusCode === 'number' && error.statusCode >= 400 && error.statusCode < 500;
}

/** Answers what Node refuses to parse, on the bare socket: there is no request to reply to. */
export function handleClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const problem = clientProblem(error.code);
  const body = problem.serialize();
  socket.end(
    [
      `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}`,
      `Content-Type: ${PROBLEM_CONTENT_TYPE}`,
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Connection: close',
      '',
      body,
    ].join('\r\n'),
    () => socket.destroy(),
  );
}

function clientProblem(code: string | undefined): Problem {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new Problem('headers-too-large', { detail: 'The path and headers are larger than 16 KiB.' });
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new Problem('request-timeout', { detail: 'The request was not complete in time.' });
    default:
      return new Problem('malformed-request', { detail: 'What was sent is not HTTP/1.1.' });
  }
}
