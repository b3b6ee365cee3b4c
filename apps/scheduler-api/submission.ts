import type { Static, TSchema } from 'typebox';
import type { TLocalizedValidationError } from 'typebox/error';
import { Compile } from 'typebox/compile';
import type { Validator } from 'typebox/compile';
import { DEFAULT_POLICY } from '../../libs/core/task.ts';
import type { Json, TaskPolicy } from '../../libs/core/task.ts';
import { NOT_A_DURATION, parseDelay } from './delay.ts';
import type { InputError } from '../../libs/core/json-guard.ts';
import { MAX_ERRORS, escapePointer, findJsonFaults } from '../../libs/core/json-guard.ts';
import { Problem } from './problem.ts';
import { NOT_A_TIME, parseScheduledTime } from './scheduled-time.ts';
import * as schemas from './schemas.ts';
import type { TaskChange } from '../../libs/db/stores.ts';
import type { Submission } from './submission-batcher.ts';

/** Of a payload as compact JSON text in UTF-8, however it was written in the request. */
export const MAX_PAYLOAD_BYTES = 256 * 1024;

const MUST_BE_SHORT_TEXT = `must be a string of 1 to ${schemas.MAX_TEXT_LENGTH} characters`;
/** What is said of a value of the wrong type or length, by its pointer. */
const MUST_BE: Readonly<Record<string, string>> = {
  '': 'must be an object',
  '/name': MUST_BE_SHORT_TEXT,
  '/key': MUST_BE_SHORT_TEXT,
  '/scheduledTime': NOT_A_TIME,
  '/delay': NOT_A_DURATION,
  '/maxAttempts': `must be a whole number from 1 to ${schemas.MAX_ATTEMPTS}`,
  '/priority': `must be a whole number from 0 to ${schemas.MAX_PRIORITY}`,
  '/serial': 'must be true or false',
  '/backoff': 'must be an object of baseMs, maxMs and factor',
  '/backoff/baseMs': `must be a whole number from 0 to ${schemas.MAX_BACKOFF_MS}`,
  '/backoff/maxMs': `must be a whole number from 0 to ${schemas.MAX_BACKOFF_MS}`,
  '/backoff/factor': `must be a number from 1 to ${schemas.MAX_BACKOFF_FACTOR}`,
  '/timeoutMs': `must be a whole number from 1 to ${schemas.MAX_TIMEOUT_MS}`,
};

const submissionShape = Compile(schemas.Submission);
const changeShape = Compile(schemas.Change);

/**
 * What a parsed `POST /tasks` body asks for.
 * @throws Problem `invalid-task` naming everything that is wrong, or `payload-too-large`
 */
export function readSubmission(body: unknown): Submission {
  const given = checked(submissionShape, body);
  const { name, payload = null, key = null, priority = 0, serial = false } = given;
  if (serial && key === null) throw invalidTask([{ pointer: '/serial', detail: 'needs a key' }]);
  const payloadBytes = checkedBytes(payload);
  const { scheduledAtMs = null, delayMs = null } = readTime(given);
  return {
    task: { name, key, payload, policy: readPolicy(given), priority, serial, scheduledAtMs, delayMs },
    payloadBytes,
  };
}

/**
 * What a parsed `PATCH /tasks/:id` body asks for.
 * @throws Problem as {@link readSubmission}
 */
export function readChange(body: unknown): TaskChange {
  const given = checked(changeShape, body);
  if (Object.keys(given).length === 0)
    throw invalidTask([{ pointer: '', detail: 'must name something to change' }]);
  const { payload, maxAttempts, priority } = given;
  if (payload !== undefined) checkedBytes(payload);
  return { payload, maxAttempts, priority, ...readTime(given) };
}

function checked<Schema extends TSchema>(
  shape: Validator<Record<never, never>, Schema>,
  body: unknown,
): Static<Schema> {
  // First, as it bounds the depth: what follows may recurse.
  const faults = findJsonFaults(body);
  if (faults.length > 0) throw invalidTask(faults);
  if (!shape.Check(body)) throw invalidTask(shape.Errors(body).flatMap(toInputErrors));
  return body;
}

/** @returns the payload's bytes as JSON */
function checkedBytes(payload: Json): number {
  const payloadBytes = Buffer.byteLength(JSON.stringify(payload));
  if (payloadBytes <= MAX_PAYLOAD_BYTES) return payloadBytes;
  const detail = `is ${payloadBytes} bytes of JSON, over the limit of ${MAX_PAYLOAD_BYTES}`;
  throw new Problem('payload-too-large', {
    detail: `The payload ${detail}.`,
    errors: [{ pointer: '/payload', detail }],
  });
}

/** When it is to be due; nothing where that is not said. */
function readTime({
  scheduledTime,
  delay,
}: Pick<Static<typeof schemas.Submission>, 'scheduledTime' | 'delay'>): Pick<
  TaskChange,
  'scheduledAtMs' | 'delayMs'
> {
  if (scheduledTime !== undefined && delay !== undefined)
    throw invalidTask([{ pointer: '/delay', detail: 'must not be given together with scheduledTime' }]);
  const due = scheduledTime === undefined ? undefined : parseScheduledTime(scheduledTime);
  const wait = delay === undefined ? undefined : parseDelay(delay);
  return { ...(due?.ok && { scheduledAtMs: due.epochMs }), ...(wait?.ok && { delayMs: wait.ms }) };
}

/** What is said of the attempts; null where nothing is. */
function readPolicy({
  maxAttempts,
  backoff,
  timeoutMs,
}: Pick<Static<typeof schemas.Submission>, 'maxAttempts' | 'backoff' | 'timeoutMs'>): TaskPolicy | null {
  if (maxAttempts === undefined && backoff === undefined && timeoutMs === undefined) return null;
  return {
    ...(maxAttempts !== undefined && { maxAttempts }),
    ...(backoff !== undefined && { backoff: { ...DEFAULT_POLICY.backoff, ...backoff } }),
    ...(timeoutMs !== undefined && { timeoutMs }),
  };
}

function invalidTask(errors: readonly InputError[]): Problem {
  const [first] = errors;
  const where = first === undefined || first.pointer === '' ? 'The body' : first.pointer;
  return new Problem('invalid-task', {
    detail: `${where} ${first?.detail ?? 'is not valid'}${errors.length > 1 ? ', and more' : ''}.`,
    errors: errors.slice(0, MAX_ERRORS),
  });
}

/** Our wording of what the validator found, with the pointer at the member that is meant rather than at its parent. */
function toInputErrors(error: TLocalizedValidationError): InputError[] {
  switch (error.keyword) {
    case 'required':
      return error.params.requiredProperties.map((name) => ({
        pointer: `${error.instancePath}/${escapePointer(name)}`,
        detail: 'is required',
      }));
    case 'additionalProperties':
      return error.params.additionalProperties.map((name) => ({
        pointer: `${error.instancePath}/${escapePointer(name)}`,
        detail: 'is not a known field',
      }));
    case 'boolean':
      // Says again, one by one, what additionalProperties says.
      return [];
    case 'type':
    case 'minLength':
    case 'maxLength':
    case 'minimum':
    case 'maximum':
      return [{ pointer: error.instancePath, detail: MUST_BE[error.instancePath] ?? error.message }];
    default:
      // Of a refinement, which words it itself.
      return [{ pointer: error.instancePath, detail: error.message }];
  }
}
