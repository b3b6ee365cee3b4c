import type { Static } from 'typebox';
import { DEFAULT_POLICY } from '../../libs/core/task.ts';
import type { Json, TaskPolicy } from '../../libs/core/task.ts';
import { parseDelay } from './delay.ts';
import type { InputError } from '../../libs/core/json-guard.ts';
import { MAX_ERRORS, findJsonFaults } from '../../libs/core/json-guard.ts';
import { jsonBytes } from './json-bytes.ts';
import { Problem } from './problem.ts';
import { parseScheduledTime } from './scheduled-time.ts';
import * as schemas from './schemas.ts';
import { compileShape } from './shape.ts';
import type { Shape } from './shape.ts';
import type { NewTask, TaskChange } from '../../libs/db/stores.ts';
import type { Submission } from './submission-batcher.ts';

/** Of a payload as compact JSON text in UTF-8 without exponents, however it was written in the request. */
export const MAX_PAYLOAD_BYTES = 256 * 1024;

const submissionShape = compileShape(schemas.Submission);
const jobShape = compileShape(schemas.Job);
const changeShape = compileShape(schemas.Change);

/** A task that is asked for, all of it in order. */
export type CheckedTask = Pick<Submission, 'task' | 'payloadBytes'>;

/**
 * What a parsed `POST /tasks` body asks for.
 * @throws Problem `invalid-task` naming everything that is wrong, or `payload-too-large`
 */
export function readSubmission(body: unknown): CheckedTask {
  const given = checked(submissionShape, body);
  return toTask(given.name, given);
}

/** The same of `POST /jobs`. */
export function readJob(body: unknown): CheckedTask {
  const given = checked(jobShape, body);
  return toTask(given.type, given);
}

/**
 * What a parsed `POST /tasks/batch` body asks for.
 * @throws Problem `invalid-task`, or `payload-too-large` where no task is wrong otherwise
 */
export function readBatch(body: unknown): NewTask[] {
  if (!Array.isArray(body) || body.length === 0 || body.length > schemas.MAX_BATCH)
    throw invalidTask([{ pointer: '', detail: `must be an array of 1 to ${schemas.MAX_BATCH} tasks` }]);
  const tasks: NewTask[] = [];
  const problems: Problem[] = [];
  const errors: InputError[] = [];
  for (const [index, item] of body.entries()) {
    try {
      tasks.push(readSubmission(item).task);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      problems.push(error);
      for (const { pointer, detail } of error.errors ?? [])
        errors.push({ pointer: `/${index}${pointer}`, detail });
      if (errors.length >= MAX_ERRORS) break;
    }
  }
  if (problems.length === 0) return tasks;
  throw problems.every(({ code }) => code === 'payload-too-large')
    ? payloadTooLarge(errors)
    : invalidTask(errors);
}

function toTask(name: string, given: Omit<Static<typeof schemas.Submission>, 'name'>): CheckedTask {
  const { payload = null, key = null, priority = 0, tags = null, serial = false } = given;
  const policy = readPolicy(given);
  if (serial && key === null) throw invalidTask([{ pointer: '/serial', detail: 'needs a key' }]);
  const payloadText = JSON.stringify(payload);
  const payloadBytes = checkedBytes(payload, payloadText);
  const { scheduledAtMs = null, delayMs = null } = readTime(given);
  return {
    task: { name, key, payload, payloadText, policy, priority, tags, serial, scheduledAtMs, delayMs },
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

function checked<Body>(shape: Shape<Body>, body: unknown): Body {
  if (!shape.fits(body)) throw invalidTask(shape.faultsOf(body));
  // It bounds the depth as well: what follows may recurse.
  const faults = findJsonFaults(body);
  if (faults.length > 0) throw invalidTask(faults);
  return body;
}

/**
 * @param text the payload by JSON.stringify, where that was done already
 * @returns the payload's bytes as JSON
 */
function checkedBytes(payload: Json, text?: string): number {
  const payloadBytes = jsonBytes(payload, text);
  if (payloadBytes <= MAX_PAYLOAD_BYTES) return payloadBytes;
  const detail = `is ${payloadBytes} bytes of JSON, over the limit of ${MAX_PAYLOAD_BYTES}`;
  throw payloadTooLarge([{ pointer: '/payload', detail }]);
}

function payloadTooLarge(errors: readonly InputError[]): Problem {
  return new Problem('payload-too-large', { detail: sentence(errors), errors });
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
  return new Problem('invalid-task', { detail: sentence(errors), errors: errors.slice(0, MAX_ERRORS) });
}

function sentence(errors: readonly InputError[]): string {
  const [first] = errors;
  const where = first === undefined || first.pointer === '' ? 'The body' : first.pointer;
  return `${where} ${first?.detail ?? 'is not valid'}${errors.length > 1 ? ', and more' : ''}.`;
}
