/** Everything the API answers that is no success: RFC 9457 problem details, each kind with a stable `type`. */
import type { InputError } from '../../libs/core/json-guard.ts';

/** One row a kind. `code` is the stable part; titles may be reworded, details vary. */
const PROBLEMS = {
  'malformed-request': { status: 400, title: 'The request is not well-formed HTTP' },
  'invalid-json': { status: 400, title: 'The body is not JSON' },
  'invalid-task': { status: 400, title: 'The task is not valid' },
  'invalid-task-id': { status: 400, title: 'The task id is not valid' },
  'invalid-idempotency-key': { status: 400, title: 'The Idempotency-Key is not valid' },
  'task-not-found': { status: 404, title: 'There is no such task' },
  'task-running': { status: 409, title: 'The task is running' },
  'task-ended': { status: 409, title: 'The task has ended' },
  'idempotency-key-in-flight': { status: 409, title: 'A request with this Idempotency-Key is in flight' },
  'idempotency-key-reused': { status: 422, title: 'The Idempotency-Key has come with another request' },
  'task-waiting': { status: 409, title: 'The task has not ended' },
  'task-changed': { status: 412, title: 'The task has changed' },
  'not-found': { status: 404, title: 'There is no such resource' },
  'method-not-allowed': { status: 405, title: 'The resource does not have this method' },
  'request-timeout': { status: 408, title: 'The request did not arrive in time' },
  'payload-too-large': { status: 413, title: 'The payload is too large' },
  'unsupported-media-type': { status: 415, title: 'The body is of another media type' },
  'unsupported-content-encoding': { status: 415, title: 'The body must not be compressed' },
  'expectation-failed': { status: 417, title: 'The expectation cannot be met' },
  'headers-too-large': { status: 431, title: 'The headers are too large' },
  internal: { status: 500, title: 'Something went wrong on our side' },
  'database-unavailable': { status: 503, title: 'The database cannot be reached' },
  'not-initialised': { status: 503, title: 'The cluster has not been initialised' },
  overloaded: { status: 503, title: 'Too many submissions are waiting' },
  timeout: { status: 503, title: 'The request took too long' },
} as const;

export type ProblemCode = keyof typeof PROBLEMS;

export interface ProblemDetail {
  readonly detail: string;
  /** For bad input: what is wrong, and where. */
  readonly errors?: readonly InputError[];
  readonly headers?: Readonly<Record<string, string>>;
}

/** Thrown by a route, answered by the error handler. */
export class Problem extends Error {
  override name = 'Problem';
  readonly code: ProblemCode;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly errors: readonly InputError[] | undefined;

  constructor(code: ProblemCode, { detail, errors, headers }: ProblemDetail) {
    super(detail);
    this.code = code;
    this.status = PROBLEMS[code].status;
    this.errors = errors;
    // Every 503 of ours passes by itself.
    this.headers = { ...(this.status === 503 ? { 'retry-after': '1' } : {}), ...headers };
  }

  /** The body. */
  present(): object {
    return {
      type: `/problems/${this.code}`,
      title: PROBLEMS[this.code].title,
      status: this.status,
      detail: this.message,
      errors: this.errors,
    };
  }

  /** The same as JSON text. */
  serialize(): string {
    return JSON.stringify(this.present());
  }
}

export const PROBLEM_CONTENT_TYPE = 'application/problem+json';
