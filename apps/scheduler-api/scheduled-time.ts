/** What a submission says about when it is due: RFC 3339 text in, milliseconds since the Unix epoch out. */

export type ScheduledTime =
  { readonly ok: true; readonly epochMs: number } | { readonly ok: false; readonly detail: string };

const DATE_TIME =
  /^(?<year>\d{4})-(?<month>\d\d)-(?<day>\d\d)[Tt](?<hour>\d\d):(?<minute>\d\d):(?<second>\d\d)(?:\.(?<fraction>\d+))?(?<offset>[Zz]|[+-]\d\d:\d\d)?$/;
/** Said of what is no such text at all. */
export const NOT_A_TIME = 'must be an RFC 3339 time such as 2030-12-31T23:59:59Z';
/** More digits than any clock has, and a bound on the work an absurd one makes. */
const MAX_LENGTH = 64;
/** What RFC 3339 can write, and so what we can answer with: years 0000 to 9999, in UTC. */
const MIN_EPOCH_MS = Date.parse('0000-01-01T00:00:00.000Z');
const MAX_EPOCH_MS = Date.parse('9999-12-31T23:59:59.999Z');

/**
 * Parses an RFC 3339 `date-time`; without an offset it is UTC. A fraction finer than a millisecond is rounded
 * up, so that nothing ever starts before the time asked for. A leap second (23:59:60 UTC at the end of a
 * month) is the first instant of the next minute, as POSIX time has no other name for it.
 *
 * @returns the instant, or in one phrase why it is none
 */
export function parseScheduledTime(text: string): ScheduledTime {
  const fields = text.length <= MAX_LENGTH ? DATE_TIME.exec(text)?.groups : undefined;
  if (fields === undefined) return refused(NOT_A_TIME);
  const [year, month, day] = [Number(fields.year), Number(fields.month), Number(fields.day)];
  if (month < 1 || month > 12 || day < 1 || day > daysIn(year, month))
    return refused('is a date that does not exist');

  const [hour, minute, second] = [Number(fields.hour), Number(fields.minute), Number(fields.second)];
  if (hour > 23 || minute > 59 || second > 60) return refused('is a time of day that does not exist');
  const offsetMinutes = parseOffset(fields.offset);
  if (offsetMinutes === undefined) return refused('has an offset that does not exist');

  const secondMs =
    utcMidnightMs(year, month, day) + ((hour * 60 + minute - offsetMinutes) * 60 + second) * 1_000;
  if (second === 60 && !startsMonth(secondMs)) return refused('is no leap second: those end a month in UTC');
  const epochMs = secondMs + ceilMilliseconds(fields.fraction ?? '');
  if (epochMs < MIN_EPOCH_MS || epochMs > MAX_EPOCH_MS)
    return refused('must lie in the years 0000 to 9999 UTC');
  return { ok: true, epochMs };
}

function refused(detail: string): ScheduledTime {
  return { ok: false, detail };
}

function daysIn(year: number, month: number): number {
  // Day 0 of the next month is the last of this one; 2000 + year % 400 has the same calendar, and no two-digit year.
  return new Date(Date.UTC(2000 + (year % 400), month, 0)).getUTCDate();
}

function utcMidnightMs(year: number, month: number, day: number): number {
  // Date.UTC would read the years 0 to 99 as 1900 to 1999.
  return new Date(0).setUTCFullYear(year, month - 1, day);
}

/** Minutes east of UTC; `undefined` where there is no such offset. */
function parseOffset(offset = 'Z'): number | undefined {
  if (offset === 'Z' || offset === 'z') return 0;
  const [hours, minutes] = [Number(offset.slice(1, 3)), Number(offset.slice(4, 6))];
  if (hours > 23 || minutes > 59) return undefined;
  return (offset.startsWith('-') ? -1 : 1) * (hours * 60 + minutes);
}

function ceilMilliseconds(fraction: string): number {
  const rest = /[1-9]/.test(fraction.slice(3)) ? 1 : 0;
  return Number(fraction.slice(0, 3).padEnd(3, '0')) + rest;
}

/** Whether a month begins at this instant in UTC, which is where a leap second ends up. */
function startsMonth(epochMs: number): boolean {
  return new Date(epochMs).toISOString().endsWith('-01T00:00:00.000Z');
}
