import type { TaskOnce, TaskRecord } from '../../libs/db/stores.ts';
import { insertSeparately, insertTogether } from './insert-separately.ts';
import type { Insertion } from './insert-separately.ts';
import { Problem } from './problem.ts';

/** INSERTs of many tasks at a time: more make none of them faster, and would keep single submissions waiting. */
const WRITERS = 2;
/** Of the bodies that are being read and written, together. */
const MAX_BYTES = 64 * 1024 * 1024;

/** Writes many tasks at once, a few statements at a time, in the order in which they were asked for. */
export class BulkWriter {
  readonly #store: Insertion;
  readonly #keepMs: number;
  readonly #waiting: (() => void)[] = [];
  #writing = 0;
  #bytes = 0;
  #idle: (() => void)[] = [];

  /** @param options.idempotencyKeyMs how long Idempotency-Keys are remembered */
  constructor(options: { readonly store: Insertion; readonly idempotencyKeyMs: number }) {
    this.#store = options.store;
    this.#keepMs = options.idempotencyKeyMs;
  }

  /**
   * Keeps room for a body.
   * @returns gives it back; may be called more than once
   * @throws Problem `overloaded` where others have taken it
   */
  reserve(bytes: number): () => void {
    if (this.#bytes > 0 && this.#bytes + bytes > MAX_BYTES)
      throw new Problem('overloaded', {
        detail: 'Nothing was stored: too many large submissions are under way.',
      });
    this.#bytes += bytes;
    let held = bytes;
    return () => {
      this.#bytes -= held;
      held = 0;
    };
  }

  /** Stores all or none. @throws what the INSERT failed with, or Problem `idempotency-key-reused` */
  async together(asked: readonly TaskOnce[]): Promise<TaskRecord[]> {
    const records = await this.#inTurn(() => insertTogether(this.#store, asked, this.#keepMs));
    return records.map((record) => {
      if (record instanceof Error) throw record;
      return record;
    });
  }

  /** Stores each on its own account; never rejects. */
  separately(asked: readonly TaskOnce[]): Promise<(TaskRecord | Error)[]> {
    return this.#inTurn(() => insertSeparately(this.#store, asked, this.#keepMs));
  }

  /** Resolves when nothing is being written. */
  async close(): Promise<void> {
    if (this.#writing > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  async #inTurn<T>(write: () => Promise<T>): Promise<T> {
    if (this.#writing >= WRITERS) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#writing += 1;
    try {
      return await write();
    } finally {
      const next = this.#waiting.shift();
      if (next !== undefined) next();
      else if (--this.#writing === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
  }
}
