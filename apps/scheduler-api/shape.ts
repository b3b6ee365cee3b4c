/**
 * What the body of a request must look like, and what is said of one that does not. The validator names every fault there is, in
 * time and memory that grow faster than their number: it is shown no more of a body than an answer has room for.
 */
import type { Static, TObject, TSchema } from 'typebox';
import type { TLocalizedValidationError } from 'typebox/error';
import { Compile } from 'typebox/compile';
import type { InputError } from '../../libs/core/json-guard.ts';
import { MAX_ERRORS, escapePointer, findJsonFaults } from '../../libs/core/json-guard.ts';
import { NOT_A_DURATION } from './delay.ts';
import { NOT_A_TIME } from './scheduled-time.ts';
import * as schemas from './schemas.ts';

const MUST_BE_SHORT_TEXT = `must be a string of 1 to ${schemas.MAX_TEXT_LENGTH} characters`;
/** What is said of a value of the wrong type or length, by its pointer. */
const MUST_BE: Readonly<Record<string, string>> = {
  '': 'must be an object',
  '/name': MUST_BE_SHORT_TEXT,
  '/type': MUST_BE_SHORT_TEXT,
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
  '/tags': schemas.MUST_BE_TAGS,
  '/tags/*': MUST_BE_SHORT_TEXT,
  '/timeoutMs': `must be a whole number from 1 to ${schemas.MAX_TIMEOUT_MS}`,
};

/** A schema of an object without further members, compiled. */
export interface Shape<Body> {
  fits(value: unknown): value is Body;
  /** What is wrong with what does not fit. */
  faultsOf(value: unknown): InputError[];
}

export function compileShape<S extends TObject>(schema: S): Shape<Static<S>> {
  const validator = Compile(schema);
  return {
    fits: (value): value is Static<S> => validator.Check(value),
    faultsOf(value) {
      const faults: InputError[] = [];
      const known = excerpt(value, schema, '', faults);
      // They bound the depth as well.
      const unstorable = findJsonFaults(known);
      faults.push(...(unstorable.length > 0 ? unstorable : validator.Errors(known).flatMap(toInputErrors)));
      return faults.slice(0, MAX_ERRORS);
    },
  };
}

/**
 * Of an object its known members, of an array as much as shows that it is too long, and where any JSON will do, all of it.
 * @param unknown is told of other members
 */
function excerpt(value: unknown, schema: TSchema, pointer: string, unknown: InputError[]): unknown {
  if (!('type' in schema)) return value;
  if (Array.isArray(value)) return value.slice(0, schemas.MAX_TAGS + 1);
  if (typeof value !== 'object' || value === null) return value;
  const { properties } = schema as Partial<TObject>;
  if (properties === undefined) return {};
  let isFull = false;
  for (const name in value) {
    if (isFull) break;
    if (Object.hasOwn(properties, name)) continue;
    unknown.push({ pointer: `${pointer}/${escapePointer(name)}`, detail: 'is not a known field' });
    isFull = unknown.length >= MAX_ERRORS;
  }
  const members = Object.entries(properties).flatMap(([name, member]) => {
    if (!Object.hasOwn(value, name)) return [];
    const given = (value as Record<string, unknown>)[name];
    return [[name, excerpt(given, member, `${pointer}/${name}`, unknown)]];
  });
  return Object.fromEntries(members);
}

/** Our wording of what the validator found, with the pointer at the member that is meant rather than at its parent. */
function toInputErrors(error: TLocalizedValidationError): InputError[] {
  switch (error.keyword) {
    case 'required':
      return error.params.requiredProperties.map((name) => ({
        pointer: `${error.instancePath}/${escapePointer(name)}`,
        detail: 'is required',
      }));
    case 'type':
    case 'minLength':
    case 'maxLength':
    case 'minimum':
    case 'maximum':
    case 'maxItems': {
      const what = error.instancePath.replace(/\/\d+$/, '/*');
      return [{ pointer: error.instancePath, detail: MUST_BE[what] ?? error.message }];
    }
    default:
      // Of a refinement, which words it itself.
      return [{ pointer: error.instancePath, detail: error.message }];
  }
}
