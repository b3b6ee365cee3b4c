import type { Logger } from '../../libs/runtime/logger.ts';

type Level = 'debug' | 'info' | 'warn' | 'error';
/** What was said, and in whose name. Kept as it is; put into words only where somebody reads it. */
export type Say = (level: Level, message: string, fields: Record<string, unknown>) => void;

/** As much of pino as the product uses, without the text. */
export function simulatedLogger(say: Say, bound: Record<string, unknown> = {}): Logger {
  const at =
    (level: Level) =>
    (first: unknown, message?: string): void => {
      if (typeof first === 'string') say(level, first, bound);
      else say(level, message ?? '', { ...bound, ...(first as Record<string, unknown>) });
    };
  const logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields: Record<string, unknown>) => simulatedLogger(say, { ...bound, ...fields }),
  };
  return logger as unknown as Logger;
}
