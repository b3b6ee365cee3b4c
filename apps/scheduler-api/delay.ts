/** How long after its submission a task is due: an ISO 8601 duration in, milliseconds out. */
import { parse } from 'tinyduration';
import type { Duration } from 'tinyduration';

export type Delay =
  { readonly ok: true; readonly ms: number } | { readonly ok: false; readonly detail: string };

/** Said of what is no such text at all. */
export const NOT_A_DURATION = 'must be an ISO 8601 duration such as PT15M or P1DT12H';
/** A bound on the work that an absurd one makes. */
const MAX_LENGTH = 64;
const MAX_DAYS = 36_500;

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const WEEK_MS = 7 * DAY_MS;

/**
 * Weeks, days, hours, minutes and seconds, each of which may have a fraction. Years and months are of no fixed length, and
 * refused. A fraction finer than a millisecond is rounded up, so that nothing ever starts before the time asked for.
 *
 * @returns the duration, or in one phrase why it is none
 */
export function parseDelay(text: string): Delay {
  const duration = text.length <= MAX_LENGTH ? parsed(text) : undefined;
  if (duration === undefined) return refused(NOT_A_DURATION);
  const { negative, years, months, weeks = 0, days = 0, hours = 0, minutes = 0, seconds = 0 } = duration;
  if (negative) return refused('must not be negative');
  if (years !== undefined || months !== undefined)
    return refused('must be in weeks, days or less: years and months are of no fixed length');
  const ms = weeks * WEEK_MS + days * DAY_MS + hours * HOUR_MS + minutes * MINUTE_MS + seconds * SECOND_MS;
  if (!(ms <= MAX_DAYS * DAY_MS)) return refused(`must not be over ${MAX_DAYS} days`);
  // 0.001 s is no whole number of binary fractions: what is so little over a millisecond is that millisecond.
  return { ok: true, ms: Math.ceil(ms - 1e-6) };
}

function parsed(text: string): Duration | undefined {
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}

function refused(detail: string): Delay {
  return { ok: false, detail };
}
