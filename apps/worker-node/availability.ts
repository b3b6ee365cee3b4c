import { backoffMs } from '../../libs/core/backoff.ts';
import { sleep } from '../../libs/core/clock.ts';
import type { Clock } from '../../libs/core/clock.ts';
import type { Random } from '../../libs/core/random.ts';
import { StatementCancelledError, StoreUnavailableError } from '../../libs/db/stores.ts';
import type { Logger } from '../../libs/runtime/logger.ts';

const RETRY = { baseMs: 50, maxMs: 1_000 };

/** Calls the database, says once when it goes away, or cuts a statement off, and once when it is back, and can wait for that. */
export class Availability {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #logger: Logger;
  /** The statements that fail. One that succeeds says nothing of the others: a full disk still reads. */
  readonly #failing = new Set<string>();
  /** Those that are cut off, by a timeout mostly: the database is there. */
  readonly #cutOff = new Set<string>();

  constructor(options: { clock: Clock; random: Random; logger: Logger }) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#logger = options.logger;
  }

  /** `call`, whose StoreUnavailableError is noted and thrown on. */
  async once<T>(statement: string, call: () => Promise<T>): Promise<T> {
    try {
      const result = await call();
      this.#cutOff.delete(statement);
      this.#answered(statement);
      return result;
    } catch (error) {
      if (error instanceof StatementCancelledError) {
        if (!this.#cutOff.has(statement))
          this.#logger.warn({ statement, reason: error.message }, 'statement cut off: trying again');
        this.#cutOff.add(statement);
        this.#answered(statement);
      } else if (error instanceof StoreUnavailableError) {
        if (this.#failing.size === 0) {
          this.#logger.warn({ statement, reason: error.message }, 'database unavailable: waiting for it');
        }
        this.#failing.add(statement);
      }
      throw error;
    }
  }

  /**
   * `call`, again and again while the database is unavailable, with backoff of at most a second.
   * Resolves with `undefined` when `signal` is aborted first; any other error is thrown.
   */
  async untilAvailable<T>(
    statement: string,
    call: () => Promise<T>,
    signal: AbortSignal,
  ): Promise<T | undefined> {
    for (let retry = 0; !signal.aborted; retry += 1) {
      try {
        return await this.once(statement, call);
      } catch (error) {
        if (!(error instanceof StoreUnavailableError)) throw error;
        await sleep(this.#clock, 10 + backoffMs(retry, this.#random, RETRY), signal);
      }
    }
    return undefined;
  }

  #answered(statement: string): void {
    if (this.#failing.delete(statement) && this.#failing.size === 0) this.#logger.info('database is back');
  }
}
