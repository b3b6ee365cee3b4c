import { Compile } from 'typebox/compile';
import type { Clock } from '../../../libs/core/clock.ts';
import { findJsonFaults } from '../../../libs/core/json-guard.ts';
import { PermanentFailure } from '../../../libs/handlers/index.ts';
import type { AnyHandler } from '../../../libs/handlers/index.ts';
import { demoHandler } from './demo.ts';
import type { Handler } from './handler.ts';

/** Of a result as JSON text in UTF-8. */
export const MAX_RESULT_BYTES = 64 * 1024;
const MAX_PAYLOAD_ERRORS = 5;

export interface Registry {
  /** Which handler runs a task of a given name. */
  readonly handlerFor: (name: string) => Handler;
  /** The names that have one; undefined: all. */
  readonly handledNames: readonly string[] | undefined;
}

/**
 * @param own those of users, who may replace `demo`
 * @param others what becomes of tasks that have no handler: `log` completes them, `none` leaves them to other workers
 */
export function handlerRegistry(clock: Clock, own: Iterable<AnyHandler>, others: 'log' | 'none'): Registry {
  const handlers = new Map(
    [demoHandler(clock) as AnyHandler, ...own].map((handler) => [handler.name, runnable(handler)]),
  );
  return {
    handlerFor: (name) => handlers.get(name) ?? logHandler,
    handledNames: others === 'log' ? undefined : [...handlers.keys()],
  };
}

/** Any name without a handler of its own: the log line `Handling event` is all that happens. */
const logHandler: Handler = { run: () => Promise.resolve() };

/** With its payloads checked, and its results. */
export function runnable(handler: AnyHandler): Handler {
  const { timeoutMs, concurrency, payload: schema } = handler;
  const shape = schema === undefined ? undefined : Compile(schema);
  return {
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(concurrency !== undefined && { concurrency }),
    async run(payload, context) {
      if (shape?.Check(payload) === false) {
        const errors = shape.Errors(payload).slice(0, MAX_PAYLOAD_ERRORS);
        const said = errors.map(({ instancePath, message }) => `payload${instancePath} ${message}`);
        throw new PermanentFailure(said.join('; '));
      }
      return toResultText(await handler.run(context.task(payload), context));
    },
  };
}

function toResultText(result: unknown): string | null {
  if (result === undefined) return null;
  let text: string | undefined;
  try {
    text = JSON.stringify(result);
  } catch (error) {
    throw new PermanentFailure(`the result is no JSON: ${error instanceof Error ? error.message : ''}`);
  }
  if (text === undefined) throw new PermanentFailure('the result is no JSON');
  // As it will be read, whatever toJSON() has made of it.
  const [fault] = findJsonFaults(JSON.parse(text));
  if (fault !== undefined) throw new PermanentFailure(`the result${fault.pointer} ${fault.detail}`);
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_RESULT_BYTES)
    throw new PermanentFailure(`the result is ${bytes} bytes of JSON, over the limit of ${MAX_RESULT_BYTES}`);
  return text;
}
