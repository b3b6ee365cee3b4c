/** How long after its submission a task is due: an ISO 8601 duration in, milliseconds out. */

export type Delay =
  { readonly ok: true; readonly ms: number } | { readonly ok: false; readonly detail: string };

/** Said of what is no such text at all. */
export const NOT_A_DURATION = 'must be an ISO 8601 duration such as PT15M or P1DT12H';
const NUMBER = String.raw`\d+(?:[.,]\d+)?`;
/** The libraries there are take "PT1M1H" for a minute, or a month for 30 days. */
const DURATION = new RegExp(
  `^(?<minus>-)?P(?=\\d|T\\d)(?:(?<years>${NUMBER})Y)?(?:(?<months>${NUMBER})M)?(?:(?<weeks>${NUMBER})W)?(?:(?<days>${NUMBER})D)?` +
    `(?:T(?=\\d)(?:(?<hours>${NUMBER})H)?(?:(?<minutes>${NUMBER})M)?(?:(?<seconds>${NUMBER})S)?)?$`,
);
/** A bound on the work that an absurd one makes. */
const MAX_LENGTH = 64;
const MAX_DAYS = 36_500;

const DAY_MS = 86_400_000;
const UNITS_MS = { weeks: 7 * DAY_MS, days: DAY_MS, hours: 3_600_000, minutes: 60_000, seconds: 1_000 };

/**
 * Weeks, days, hours, minutes and seconds, each of which may have a fraction. Years and months are of no fixed length, and
 * refused. A fraction finer than a millisecond is rounded up, so that nothing ever starts before the time asked for.
 *
 * @returns the duration, or in one phrase why it is none
 */
export function parseDelay(text: string): Delay {
  const fields = text.length <= MAX_LENGTH ? DURATION.exec(text)?.groups : undefined;
  if (fields === undefined) return refused(NOT_A_DURATION);
  if (fields.minus !== undefined) return refused('must not be negative');
  if (fields.years !== undefined || fields.months !== undefined)
    return refused('must be in weeks, days or less: years and months are of no fixed length');
  const units = Object.entries(UNITS_MS);
  const ms = units.reduce(
    (sum, [unit, unitMs]) => sum + Number((fields[unit] ?? '0').replace(',', '.')) * unitMs,
    0,
  );
  if (!(ms <= MAX_DAYS * DAY_MS)) return refused(`must not be over ${MAX_DAYS} days`);
  // 0.001 s is no whole number of binary fractions: what is so little over a millisecond is that millisecond.
  return { ok: true, ms: Math.max(0, Math.ceil(ms - 1e-6)) };
}

function refused(detail: string): Delay {
  return { ok: false, detail };
}
