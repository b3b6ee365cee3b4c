/** The values a command line may hold: each reader takes the text and throws a UsageError with what is wrong. */

export class UsageError extends Error {
  override name = 'UsageError';
}

/** `none` clears what stands. */
export function unlessNone<T>(text: string, read: (text: string) => T): T | undefined {
  return text === 'none' ? undefined : read(text);
}

/** What may be part of a path. `operand` says in the error what it is. */
export function name(operand: string): (text: string) => string {
  return (text) => {
    if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(text)) return text;
    throw new UsageError(`${operand}: "${text}" must be 1–100 letters, digits, dots, dashes or underscores`);
  };
}

/** Up to `most` names, separated by commas. */
export function names(operand: string, most: number): (text: string) => string[] {
  return (text) => {
    const found = text.split(',').map(name(operand));
    if (found.length <= most) return found;
    throw new UsageError(`${operand}: ${found.length} are too many, there may be ${most}`);
  };
}

export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (/^\d+$/.test(text) && number >= min && number <= max) return number;
    throw new UsageError(`"${text}" must be a whole number from ${min} to ${max}, or none`);
  };
}

const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000 };

/** `90s`, `10m`, `2h`; in milliseconds. */
export function duration(flag: string): (text: string) => number {
  return (text) => {
    const [, count = '', unit = ''] = /^(\d{1,6})([smh])$/.exec(text) ?? [];
    if (Number(count) > 0) return Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS];
    throw new UsageError(`${flag}: "${text}" must be a time such as 90s, 10m or 2h`);
  };
}
