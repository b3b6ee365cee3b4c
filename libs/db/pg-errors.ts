/** What an error of Postgres or of the way to it means to a caller of the stores. */
import {
  InvalidInputError,
  StatementCancelledError,
  StoreNotInitialisedError,
  StoreUnavailableError,
} from './stores.ts';

/** Of the connection, from Node. */
const NETWORK_ERRORS = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'ENOENT'],
  ...['EHOSTUNREACH', 'ENETUNREACH', 'ENETDOWN', 'ENOTFOUND', 'EAI_AGAIN'],
  ...['EMFILE', 'ENFILE', 'ENOBUFS', 'EADDRNOTAVAIL', 'EACCES', 'EPERM'],
]);

/** Of pg and its pool, which give them no code. */
const CONNECTION_MESSAGE =
  /^Connection terminated|^timeout exceeded when trying to connect|^timeout expired|^Query read timeout|not queryable|^Cannot use a pool after calling end|^Client was closed/;

/**
 * SQLSTATEs, or classes of them, of a server that cannot serve just now: 08 connection, 28 and 3D000 not let in,
 * 53 out of resources, 57 shut down or starting, 25006 a standby, 25P03
 * and 25P04 ended by a transaction's timeout, 55P03 a lock not had in time, 58 and XX the system below.
 */
const UNAVAILABLE = /^(08|28|53|57|58|XX|3D000|25006|25P03|25P04|55P03)/;
/** A statement, by its timeout or by somebody. */
const CANCELLED = '57014';
/** Undefined function, table, column, schema: cluster-init has not been, or only an older one. */
const NOT_INITIALISED = /^(42883|42P01|42703|3F000)/;
/** Data a column's type cannot hold (NUL, a lone surrogate, too large a number), or nested too deep. */
const INVALID_INPUT = /^(22|54)/;
/** Deadlock, serialization failure: the transaction is undone, the same again may succeed. */
const RETRYABLE = /^(40P01|40001)$/;
const UNPREPARED = /^(26000|42P05)$/;
const FEATURE_NOT_SUPPORTED = '0A000';

/** The SQLSTATE or Node's code of `error`, or of what a wrapper around it names as its cause. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? code : codeOf(error.cause);
}

export function isRetryable(error: unknown): boolean {
  return RETRYABLE.test(codeOf(error));
}

/**
 * The backend has no such prepared statement, or has it already, or a migration has changed the type of what it returns: nothing was
 * carried out.
 */
export function isUnprepared(error: unknown): boolean {
  const isOutdated = (error as { routine?: unknown } | null)?.routine === 'RevalidateCachedQuery';
  return UNPREPARED.test(codeOf(error)) || (codeOf(error) === FEATURE_NOT_SUPPORTED && isOutdated);
}

/** A lock was not had within `lock_timeout`. */
export function isLockTimeout(error: unknown): boolean {
  return codeOf(error) === '55P03';
}

/** Its tables are there, and what they are to begin with is not. */
export function notInitialised(): StoreNotInitialisedError {
  return new StoreNotInitialisedError('cluster-init has not recorded this cluster yet');
}

/**
 * `error` in the terms of stores.ts, with the original as its cause: {@link StoreUnavailableError}, {@link StatementCancelledError},
 * {@link StoreNotInitialisedError} or {@link InvalidInputError}. Anything else is a fault of ours and comes back as
 * it is.
 */
export function toStoreError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const code = codeOf(error);
  const origin = error.cause instanceof Error ? error.cause : error;
  const message = origin.message === '' ? code : origin.message;
  if (code === CANCELLED) return new StatementCancelledError(message, { cause: error });
  if (NETWORK_ERRORS.has(code) || UNAVAILABLE.test(code) || RETRYABLE.test(code)) {
    return new StoreUnavailableError(message, { cause: error });
  }
  if (code === '' && CONNECTION_MESSAGE.test(message))
    return new StoreUnavailableError(message, { cause: error });
  if (NOT_INITIALISED.test(code)) return new StoreNotInitialisedError(message, { cause: error });
  if (INVALID_INPUT.test(code)) return new InvalidInputError(message, { cause: error });
  return error;
}

/** What `query` resolves with, or rejects with in the terms of stores.ts. */
export async function storeErrors<T>(query: PromiseLike<T>): Promise<T> {
  try {
    return await query;
  } catch (error) {
    throw toStoreError(error);
  }
}
