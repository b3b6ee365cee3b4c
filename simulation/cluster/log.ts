import type { Logger } from '../../libs/runtime/logger.ts';

type Level = 'debug' | 'info' | 'warn' | 'error';
type Fields = Record<string, unknown>;
/** What was said, and in whose name. Kept as it is; put into words only where somebody reads it. */
export type Say = (level: Level, message: string, fields: Fields) => void;

/** As much of pino as the product uses, without the text. */
class SimulatedLogger {
  readonly #say: Say;
  readonly #bound: Fields;

  constructor(say: Say, bound: Fields) {
    this.#say = say;
    this.#bound = bound;
  }

  child(fields: Fields): SimulatedLogger {
    return new SimulatedLogger(this.#say, { ...this.#bound, ...fields });
  }

  flush(): void {
    // Nothing is kept back.
  }

  debug(first: Fields | string, message?: string): void {
    this.#log('debug', first, message);
  }

  info(first: Fields | string, message?: string): void {
    this.#log('info', first, message);
  }

  warn(first: Fields | string, message?: string): void {
    this.#log('warn', first, message);
  }

  error(first: Fields | string, message?: string): void {
    this.#log('error', first, message);
  }

  #log(level: Level, first: Fields | string, message = ''): void {
    if (typeof first === 'string') this.#say(level, first, this.#bound);
    else this.#say(level, message, { ...this.#bound, ...first });
  }
}

export function simulatedLogger(say: Say): Logger {
  return new SimulatedLogger(say, {}) as unknown as Logger;
}
