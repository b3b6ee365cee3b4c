/** A thread that runs one handler, for one attempt at a time: what thread-pool.ts starts. */
import { parentPort, workerData } from 'node:worker_threads';
import { pino } from 'pino';
import { invariant } from '../../../libs/core/invariant.ts';
import { AttemptAbortedError } from '../../../libs/handlers/index.ts';
import { systemClock } from '../../../libs/runtime/system.ts';
import { AttemptContext } from '../attempt-context.ts';
import type { AttemptTask, ContextHost } from '../attempt-context.ts';
import { loadHandler } from './load.ts';
import { toResultText } from './result.ts';
import { toThrown } from './thread-messages.ts';
import type { FromHandlerThread, HandlerThreadData, ToHandlerThread } from './thread-messages.ts';

/** A handler that says more than its worker reads would fill the worker's memory: what is beyond so much is left out. */
const MAX_UNREAD = 256;

const port = parentPort;
invariant(port !== null, 'runs as a worker thread');
const { file, name, logLevel, read } = workerData as HandlerThreadData;
const readCount = new Int32Array(read);
const send = (message: FromHandlerThread) => port.postMessage(message);

let sent = 0;
let leftOut = 0;
let running: { readonly task: AttemptTask; readonly abort: AbortController } | undefined;

/** Sends what is not essential. @returns whether there was room for it */
function sendIfRead(message: () => FromHandlerThread): boolean {
  // Both counters go round.
  if (((sent - Atomics.load(readCount, 0)) | 0) >= MAX_UNREAD) return false;
  sent = (sent + 1) | 0;
  send(message());
  return true;
}

const host: ContextHost = {
  // The worker's own adds the time, and hides what is to be hidden.
  logger: pino(
    { level: logLevel, base: null, timestamp: false },
    {
      write(line: string) {
        if (sendIfRead(() => ({ type: 'log', line, leftOut }))) leftOut = 0;
        else leftOut += 1;
      },
    },
  ),
  clock: systemClock,
  progressed(task, progress) {
    if (running?.task === task) sendIfRead(() => ({ type: 'progress', progress }));
  },
};

const handler = await loadHandler(file);
if (handler.name !== name)
  throw new Error(`it handles tasks named '${handler.name}' by now, and no longer '${name}'`);

async function run({ task, payload }: ToHandlerThread & { readonly type: 'run' }): Promise<void> {
  const abort = new AbortController();
  running = { task, abort };
  const context = new AttemptContext(task, abort, host);
  try {
    const result = toResultText(await handler.run(context.task(payload), context));
    send({ type: 'returned', result });
  } catch (thrown) {
    send({ type: 'threw', thrown: toThrown(thrown) });
  } finally {
    running = undefined;
  }
}

port.on('message', (message: ToHandlerThread) => {
  if (message.type === 'run') void run(message);
  else running?.abort.abort(new AttemptAbortedError(message.reason));
});
send({ type: 'loaded' });
