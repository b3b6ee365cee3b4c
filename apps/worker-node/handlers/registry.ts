import { Compile } from 'typebox/compile';
import type { Clock } from '../../../libs/core/clock.ts';
import { PermanentFailure } from '../../../libs/handlers/index.ts';
import type { AnyHandler } from '../../../libs/handlers/index.ts';
import type { Json } from '../../../libs/core/task.ts';
import type { Logger } from '../../../libs/runtime/logger.ts';
import { demoHandler } from './demo.ts';
import type { Handler } from './handler.ts';
import type { LoadedHandler } from './load.ts';
import { toResultText } from './result.ts';
import { ThreadPool } from './thread-pool.ts';

const MAX_PAYLOAD_ERRORS = 5;

export interface Registry {
  /** Which handler runs a task of a given name. */
  readonly handlerFor: (name: string) => Handler;
  /** The names that have one; undefined: all. */
  readonly handledNames: readonly string[] | undefined;
  /** Ends the threads that handlers run in. */
  close(): Promise<void>;
}

/**
 * @param options.own those of users, who may replace `demo`
 * @param options.others what becomes of tasks that have no handler: `log` completes them, `none` lets them wait
 */
export function handlerRegistry(options: {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly own: Iterable<LoadedHandler>;
  readonly others: 'log' | 'none';
}): Registry {
  const { clock, logger, own, others } = options;
  const handlers = new Map([['demo', runnable(demoHandler(clock))]]);
  const pools: ThreadPool[] = [];
  for (const { handler, file } of own) {
    const { name, isolation, concurrency: size } = handler;
    if (isolation === 'thread') {
      const pool = new ThreadPool({ file, name, clock, logger, ...(size !== undefined && { size }) });
      pools.push(pool);
      handlers.set(name, runnableIn(pool, handler));
    } else handlers.set(name, runnable(handler));
  }
  return {
    handlerFor: (name) => handlers.get(name) ?? logHandler,
    handledNames: others === 'log' ? undefined : [...handlers.keys()],
    async close() {
      await Promise.all(pools.map((pool) => pool.close()));
    },
  };
}

/** Any name without a handler of its own: the log line `Handling event` is all that happens. */
const logHandler: Handler = { run: () => Promise.resolve() };

/** With its payloads checked, and its results. */
export function runnable(handler: AnyHandler): Handler {
  const { timeoutMs, concurrency } = handler;
  const check = payloadCheck(handler);
  return {
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(concurrency !== undefined && { concurrency }),
    async run(payload, context) {
      check(payload);
      return toResultText(await handler.run(context.task(payload), context));
    },
  };
}

/** The same in threads, which check the results; the payloads are checked here. */
function runnableIn(pool: ThreadPool, handler: AnyHandler): Handler {
  const { timeoutMs } = handler;
  const check = payloadCheck(handler);
  const prepare = async (payload: Json): Promise<Pick<Handler, 'run'>> => {
    check(payload);
    return pool.take();
  };
  return {
    ...(timeoutMs !== undefined && { timeoutMs }),
    concurrency: pool.size,
    prepare,
    run: async (payload, context) => (await prepare(payload)).run(payload, context),
  };
}

/** @returns what throws a PermanentFailure for a payload that is none of this handler's, saying where */
function payloadCheck({ payload: schema }: AnyHandler): (payload: Json) => void {
  if (schema === undefined) return () => undefined;
  const shape = Compile(schema);
  return (payload) => {
    if (shape.Check(payload)) return;
    const errors = shape.Errors(payload).slice(0, MAX_PAYLOAD_ERRORS);
    const said = errors.map(({ instancePath, message }) => `payload${instancePath} ${message}`);
    throw new PermanentFailure(said.join('; '));
  };
}
