import { availableParallelism } from 'node:os';
import type { Clock, Timer } from '../../../libs/core/clock.ts';
import { invariant } from '../../../libs/core/invariant.ts';
import type { Json } from '../../../libs/core/task.ts';
import { AttemptAbortedError } from '../../../libs/handlers/index.ts';
import type { Logger } from '../../../libs/runtime/logger.ts';
import type { AttemptContext } from '../attempt-context.ts';
import { GIVE_UP_MS } from '../attempt-end.ts';
import type { Handler } from './handler.ts';
import { HandlerThread } from './handler-thread-client.ts';

/** A thread that loads its module for longer is ended. */
const LOAD_DEADLINE_MS = 30_000;
/** After so long without an attempt a thread is ended. */
const IDLE_MS = 60_000;
const MAX_HEAP_MB = 512;
/** A handler whose time is up, and that heeds its signal, may clean up for so long. */
export const TIMEOUT_GRACE_MS = 100;

export interface ThreadPoolOptions {
  /** The handler's module. */
  readonly file: string;
  /** Of its tasks. */
  readonly name: string;
  /** Threads at most; by default, as many as there are cores. */
  readonly size?: number;
  /** Of each thread. */
  readonly maxHeapMb?: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The threads of one handler. Each is
 * ```
 * loading ──▶ running an attempt ◀──▶ idle ──(a minute later)──▶ ended
 *                    └──(killed, or died)────────────────────────▲
 * ```
 * A thread whose attempt was aborted, and that still runs it GIVE_UP_MS later, or TIMEOUT_GRACE_MS after its time was up, is
 * killed; in its place another is started when there is something to run. As many attempts run at a time as the caller lets: `size` at most.
 */
export class ThreadPool {
  readonly size: number;
  readonly #options: ThreadPoolOptions;
  readonly #threads = new Set<HandlerThread>();
  /** The one that was used last comes last, and is used first. */
  readonly #idle = new Map<HandlerThread, Timer>();
  #closed = false;

  constructor(options: ThreadPoolOptions) {
    this.#options = options;
    this.size = options.size ?? availableParallelism();
  }

  /** How many threads there are. */
  get started(): number {
    return this.#threads.size;
  }

  /**
   * Resolves when a thread is ready to run an attempt.
   * @returns what runs it, and must be called, once
   */
  async take(): Promise<Pick<Handler, 'run'>> {
    const thread = this.#takeIdle() ?? (await this.#start());
    return { run: (payload, context) => this.#run(thread, payload, context) };
  }

  /** Ends all threads, whatever they do. Resolves when they have ended. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#idle.values()) timer.cancel();
    this.#idle.clear();
    await Promise.all([...this.#threads].map((thread) => thread.end()));
  }

  #takeIdle(): HandlerThread | undefined {
    for (const [thread, timer] of [...this.#idle].reverse()) {
      this.#idle.delete(thread);
      timer.cancel();
      if (thread.alive) return thread;
    }
    return undefined;
  }

  async #start(): Promise<HandlerThread> {
    await this.#untilRoom();
    const { file, name, logger, clock, maxHeapMb = MAX_HEAP_MB } = this.#options;
    const thread = new HandlerThread({ file, name, logger, maxHeapMb });
    this.#threads.add(thread);
    void thread.ended.then(() => this.#threads.delete(thread));
    const deadline = clock.schedule(LOAD_DEADLINE_MS, () => void thread.end());
    try {
      await thread.loaded;
    } catch (error) {
      if (!thread.killed) throw error;
      if (this.#closed) throw new AttemptAbortedError('stopping');
      throw new Error(`its thread has not loaded ${file} within ${LOAD_DEADLINE_MS / 1_000} s`);
    } finally {
      deadline.cancel();
    }
    return thread;
  }

  /**
   * One that is being ended keeps its place until it has.
   * @throws AttemptAbortedError where the pool is closed
   */
  async #untilRoom(): Promise<void> {
    while (this.#threads.size >= this.size) {
      const ending = [...this.#threads].filter(({ alive }) => !alive);
      invariant(ending.length > 0, 'more attempts than threads');
      await Promise.race(ending.map(({ ended }) => ended));
    }
    if (this.#closed) throw new AttemptAbortedError('stopping');
  }

  async #run(thread: HandlerThread, payload: Json, context: AttemptContext): Promise<string | null> {
    const { signal, log } = context;
    let kill: Timer | undefined;
    const onAbort = () => {
      const { reason: thrown } = signal as { reason: unknown };
      const reason = thrown instanceof AttemptAbortedError ? thrown.reason : 'cancelled';
      thread.abort(reason);
      const graceMs = reason === 'timeout' ? TIMEOUT_GRACE_MS : GIVE_UP_MS;
      kill = this.#options.clock.schedule(graceMs, () => {
        log.warn('Event does not heed its signal: ending its thread');
        void thread.end();
      });
    };
    try {
      signal.throwIfAborted();
      signal.addEventListener('abort', onAbort);
      return await thread.run(payload, context);
    } catch (error) {
      if (thread.killed) throw signal.aborted ? signal.reason : new AttemptAbortedError('stopping');
      throw error;
    } finally {
      signal.removeEventListener('abort', onAbort);
      kill?.cancel();
      this.#giveBack(thread);
    }
  }

  #giveBack(thread: HandlerThread): void {
    if (this.#closed || !thread.alive) return;
    const end = () => {
      this.#idle.delete(thread);
      void thread.end();
    };
    this.#idle.set(thread, this.#options.clock.schedule(IDLE_MS, end));
  }
}
