import { findJsonFaults } from '../../../libs/core/json-guard.ts';
import { PermanentFailure } from '../../../libs/handlers/index.ts';

/** Of a result as JSON text in UTF-8. */
export const MAX_RESULT_BYTES = 64 * 1024;

/**
 * What a handler returned, as it is kept; null for nothing.
 * @throws PermanentFailure for what cannot be: it is no JSON, too much, or what Postgres does not take
 */
export function toResultText(result: unknown): string | null {
  if (result === undefined) return null;
  let text: unknown;
  try {
    text = JSON.stringify(result);
  } catch (error) {
    throw new PermanentFailure(`the result is no JSON: ${error instanceof Error ? error.message : ''}`);
  }
  if (typeof text !== 'string') throw new PermanentFailure('the result is no JSON');
  // As it will be read, whatever toJSON() has made of it.
  const [fault] = findJsonFaults(JSON.parse(text));
  if (fault !== undefined) throw new PermanentFailure(`the result${fault.pointer} ${fault.detail}`);
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_RESULT_BYTES)
    throw new PermanentFailure(`the result is ${bytes} bytes of JSON, over the limit of ${MAX_RESULT_BYTES}`);
  return text;
}
