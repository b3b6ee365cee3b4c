import type { Static } from 'typebox';
import type { TLocalizedValidationError } from 'typebox/error';
import { Compile } from 'typebox/compile';
import { DEFAULT_POLICY } from '../../libs/core/task.ts';
import type { TaskPolicy } from '../../libs/core/task.ts';
import { NOT_A_DURATION, parseDelay } from './delay.ts';
import type { InputError } from '../../libs/core/json-guard.ts';
import { MAX_ERRORS, escapePointer, findJsonFaults } from '../../libs/core/json-guard.ts';
import { Problem } from './problem.ts';
import { NOT_A_TIME, parseScheduledTime } from './scheduled-time.ts';
import * as schemas from './schemas.ts';
import type { NewTask } from '../../libs/db/stores.ts';
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
  '/backoff': 'must be an object of baseMs, maxMs and factor',
  '/backoff/baseMs': `must be a whole number from 0 to ${schemas.MAX_BACKOFF_MS}`,
  '/backoff/maxMs': `must be a whole number from 0 to ${schemas.MAX_BACKOFF_MS}`,
  '/backoff/factor': `must be a number from 1 to ${schemas.MAX_BACKOFF_FACTOR}`,
  '/timeoutMs': `must be a whole number from 1 to ${schemas.MAX_TIMEOUT_MS}`,
};

const shape = Compile(schemas.Submission);

/**
 * What a parsed `POST /tasks` body asks for.
 * @throws Problem `invalid-task` naming everything that is wrong, or `payload-too-large`
 */
export function readSubmission(body: unknown): Submission {
  // First, as it bounds the depth: what follows may recurse.
  const faults = findJsonFaults(body);
  if (faults.length > 0) throw invalidTask(faults);
  if (!shape.Check(body)) throw invalidTask(shape.Errors(body).flatMap(toInputErrors));

  const { name, scheduledTime, delay, payload = null, key = null } = body;
  if (scheduledTime !== undefined && delay !== undefined)
    throw invalidTask([{ pointer: '/delay', detail: 'must not be given together with scheduledTime' }]);
  const payloadBytes = Buffer.byteLength(JSON.stringify(payload));
  if (payloadBytes > MAX_PAYLOAD_BYTES) {
    const detail = `is ${payloadBytes} bytes of JSON, over the limit of ${MAX_PAYLOAD_BYTES}`;
    throw new Problem('payload-too-large', {
      detail: `The payload ${detail}.`,
      errors: [{ pointer: '/payload', detail }],
    });
  }
  const due = scheduledTime === undefined ? undefined : parseScheduledTime(scheduledTime);
  const wait = delay === undefined ? undefined : parseDelay(delay);
  const task: NewTask = {
    ...{ name, key, payload, policy: readPolicy(body) },
    scheduledAtMs: due?.ok ? due.epochMs : null,
    delayMs: wait?.ok ? wait.ms : null,
  };
  return { task, payloadBytes };
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
