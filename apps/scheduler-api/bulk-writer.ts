import type { Clock } from '../../libs/core/clock.ts';
import type { NewTask, Once, StoredTask, TaskOnce } from '../../libs/db/stores.ts';
import { insertSeparately, insertTogether } from './insert-separately.ts';
import type { Insertion } from './insert-separately.ts';
import { Problem } from './problem.ts';

/** Of the bodies that are being read and written, together. */
const MAX_BYTES = 64 * 1024 * 1024;
/** What a task takes at least, however short it is written: it becomes a dozen objects. */
const TASK_BYTES = 1024;

/** What a body is given of the room that all of them have. */
export interface Room {
  /** Where it turns out to hold so many tasks. @throws Problem `overloaded` where others have taken the room */
  widenFor(tasks: number): void;
  /** Keeps the room until `work` has settled as well. */
  keepFor(work: Promise<unknown>): void;
}

export interface BulkWriterOptions {
  readonly store: Insertion;
  readonly clock: Clock;
  /** How long Idempotency-Keys are remembered. */
  readonly idempotencyKeyMs: number;
  /** How long tasks wait for their turn: after that nobody waits for them. */
  readonly patienceMs: number;
  /** INSERTs at a time: enough to use the time that others wait for the disk, and not all connections. */
  readonly writers: number;
}

/** Writes many tasks at once, a few statements at a time, in the order in which they were asked for. */
export class BulkWriter {
  readonly #options: BulkWriterOptions;
  /** In their order. */
  readonly #waiting = new Set<() => void>();
  #writing = 0;
  #bytes = 0;
  #idle: (() => void)[] = [];

  constructor(options: BulkWriterOptions) {
    this.#options = options;
  }

  /**
   * Keeps room for a body until `work` has settled, and whatever else it is kept for.
   * @throws Problem `overloaded` where others have taken it
   */
  reserve(bytes: number, work: Promise<unknown>): Room {
    let held = 0;
    let reasons = 0;
    const widen = (needed: number) => {
      const others = this.#bytes - held;
      if (others > 0 && others + needed > MAX_BYTES)
        throw new Problem('overloaded', {
          detail: 'Nothing was stored: too many large submissions are under way.',
        });
      this.#bytes = others + needed;
      held = needed;
    };
    const release = () => {
      if (--reasons > 0) return;
      this.#bytes -= held;
      held = 0;
    };
    const room: Room = {
      widenFor: (tasks) => widen(Math.max(held, tasks * TASK_BYTES)),
      keepFor(other) {
        reasons += 1;
        other.then(release, release);
      },
    };
    widen(bytes);
    room.keepFor(work);
    return room;
  }

  /**
   * Stores the tasks of one request: all or none.
   * @throws what the INSERT failed with, Problem `idempotency-key-reused` or `-in-flight`, or `timeout` where it was not even tried
   */
  together(tasks: readonly NewTask[], once: Once | null): Promise<StoredTask[]> {
    const { store, idempotencyKeyMs } = this.#options;
    return this.#inTurn(() => insertTogether(store, tasks, once, idempotencyKeyMs));
  }

  /** Stores each on its own account; never rejects. */
  async separately(asked: readonly TaskOnce[]): Promise<(StoredTask | Error)[]> {
    const { store, idempotencyKeyMs } = this.#options;
    try {
      return await this.#inTurn(() => insertSeparately(store, asked, idempotencyKeyMs));
    } catch (error) {
      return asked.map(() => error as Error);
    }
  }

  /** Resolves when nothing is being written. */
  async close(): Promise<void> {
    if (this.#writing > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  async #inTurn<T>(write: () => Promise<T>): Promise<T> {
    if (this.#writing >= this.#options.writers) await this.#turn();
    else this.#writing += 1;
    try {
      return await write();
    } finally {
      const [next] = this.#waiting;
      if (next !== undefined) next();
      else if (--this.#writing === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  /** @throws Problem `timeout` where it does not come in time */
  #turn(): Promise<void> {
    const { clock, patienceMs } = this.#options;
    return new Promise((resolve, reject) => {
      const begin = () => {
        this.#waiting.delete(begin);
        timer.cancel();
        resolve();
      };
      const timer = clock.schedule(patienceMs, () => {
        this.#waiting.delete(begin);
        const detail = 'Nothing was stored: the database takes too long with what came before.';
        reject(new Problem('timeout', { detail }));
      });
      this.#waiting.add(begin);
    });
  }
}
