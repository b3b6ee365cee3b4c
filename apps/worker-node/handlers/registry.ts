import type { Clock } from '../../../libs/core/clock.ts';
import { demoHandler } from './demo.ts';
import type { Handler } from './handler.ts';

/** Any name without a handler of its own: the log line `Handling event` is all that happens. */
const defaultHandler: Handler = () => Promise.resolve();

/** Which handler runs a task of a given name. */
export function handlerRegistry(clock: Clock): (name: string) => Handler {
  const handlers = new Map<string, Handler>([['demo', demoHandler(clock)]]);
  return (name) => handlers.get(name) ?? defaultHandler;
}
