import type { Worker } from 'node:worker_threads';
import type { Json } from '../../../libs/core/task.ts';
import type { AbortReason } from '../../../libs/handlers/index.ts';
import type { Logger } from '../../../libs/runtime/logger.ts';
import { startThread } from '../../../libs/runtime/thread.ts';
import type { AttemptContext } from '../attempt-context.ts';
import { fromThrown } from './thread-messages.ts';
import type { FromHandlerThread, HandlerThreadData, ToHandlerThread } from './thread-messages.ts';

/** pino's levels, as its lines have them. */
const LEVELS = new Map([
  [10, 'trace'],
  [20, 'debug'],
  [30, 'info'],
  [40, 'warn'],
  [50, 'error'],
  [60, 'fatal'],
] as const);

/** A thread of a handler has ended though nobody had ended it. */
export class HandlerThreadError extends Error {
  override name = 'HandlerThreadError';
}

interface Running {
  readonly context: AttemptContext;
  readonly resolve: (result: string | null) => void;
  readonly reject: (error: Error) => void;
}

/** A thread that runs a handler (`handler-thread.ts`), as the worker sees it: one attempt at a time. */
export class HandlerThread {
  /** Resolves when it can run attempts; rejects where it cannot. */
  readonly loaded: Promise<void>;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
  readonly #worker: Worker;
  readonly #logger: Logger;
  readonly #read = new Int32Array(new SharedArrayBuffer(4));
  readonly #maxHeapMb: number;
  #running: Running | undefined;
  #killed = false;
  #error: Error | undefined;
  #exited = false;

  constructor(options: {
    readonly file: string;
    readonly name: string;
    readonly logger: Logger;
    readonly maxHeapMb: number;
  }) {
    const { file, name, logger, maxHeapMb } = options;
    this.#logger = logger;
    this.#maxHeapMb = maxHeapMb;
    const data: HandlerThreadData = { file, name, logLevel: logger.level, read: this.#read.buffer };
    this.#worker = startThread(new URL('./handler-thread.ts', import.meta.url), data, {
      maxOldGenerationSizeMb: maxHeapMb,
    });
    this.#worker.on('error', (error: unknown) => {
      this.#error = error instanceof Error ? error : new Error(String(error));
    });
    const exit = new Promise<HandlerThreadError>((resolve) => {
      this.#worker.on('exit', (code) => resolve(this.#deathBy(code)));
    });
    this.ended = exit.then((death) => this.#exit(death));
    this.loaded = new Promise((resolve, reject) => {
      this.#worker.on('message', (message: FromHandlerThread) => {
        if (message.type === 'loaded') resolve();
        else this.#receive(message);
      });
      void exit.then(reject);
    });
    // Whoever waits for it has been told.
    this.loaded.catch(() => undefined);
  }

  /** It can run another attempt. */
  get alive(): boolean {
    return !this.#killed && this.#error === undefined && !this.#exited;
  }

  /** It was ended by {@link end}. */
  get killed(): boolean {
    return this.#killed;
  }

  /**
   * @returns the handler's result as JSON text
   * @throws what the handler has thrown, or a HandlerThreadError when the thread has ended
   */
  run(payload: Json, context: AttemptContext): Promise<string | null> {
    return new Promise((resolve, reject) => {
      if (this.#exited) return reject(this.#deathBy(0));
      this.#running = { context, resolve, reject };
      this.#send({ type: 'run', task: context.attemptTask, payload });
    });
  }

  /** Tells the handler. */
  abort(reason: AbortReason): void {
    this.#send({ type: 'abort', reason });
  }

  /** Ends it, whatever it does. Resolves when it has ended. */
  async end(): Promise<void> {
    this.#killed = true;
    await this.#worker.terminate();
    await this.ended;
  }

  #receive(message: Exclude<FromHandlerThread, { readonly type: 'loaded' }>): void {
    const running = this.#running;
    switch (message.type) {
      case 'log':
        Atomics.add(this.#read, 0, 1);
        this.#log(message.line, message.leftOut);
        break;
      case 'progress':
        Atomics.add(this.#read, 0, 1);
        running?.context.progress(message.progress.done, message.progress.note ?? undefined);
        break;
      case 'returned':
        this.#running = undefined;
        running?.resolve(message.result);
        break;
      case 'threw':
        this.#running = undefined;
        running?.reject(fromThrown(message.thrown));
        break;
    }
  }

  #log(line: string, leftOut: number): void {
    if (leftOut > 0)
      this.#logger.warn({ leftOut }, 'a handler says more than can be written: lines were left out');
    const { level, msg, ...fields } = JSON.parse(line) as { level: number; msg?: string };
    this.#logger[LEVELS.get(level as never) ?? 'info'](fields, msg);
  }

  #exit(death: HandlerThreadError): void {
    this.#exited = true;
    const running = this.#running;
    this.#running = undefined;
    if (running !== undefined) running.reject(death);
    else if (!this.#killed) this.#logger.warn({ reason: death.message }, 'a thread of a handler has died');
  }

  #deathBy(exitCode: number): HandlerThreadError {
    const error = this.#error;
    if (error === undefined)
      return new HandlerThreadError(`its thread ended by itself, with exit code ${exitCode}`);
    if ((error as NodeJS.ErrnoException).code === 'ERR_WORKER_OUT_OF_MEMORY')
      return new HandlerThreadError(`its thread needs more than ${this.#maxHeapMb} MB of memory`);
    const death = new HandlerThreadError(`its thread has died: ${error.message}`);
    if (error.stack !== undefined) death.stack = error.stack;
    return death;
  }

  #send(message: ToHandlerThread): void {
    this.#worker.postMessage(message);
  }
}
