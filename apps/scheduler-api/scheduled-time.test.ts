import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseScheduledTime } from './scheduled-time.ts';

function instant(text: string): string {
  const parsed = parseScheduledTime(text);
  return parsed.ok ? new Date(parsed.epochMs).toISOString() : parsed.detail;
}

describe('a scheduled time', () => {
  it.each([
    ['2023-12-31T23:59:59', '2023-12-31T23:59:59.000Z', 'without an offset it is UTC'],
    ['2023-12-31T23:59:59Z', '2023-12-31T23:59:59.000Z', ''],
    ['2023-12-31t23:59:59z', '2023-12-31T23:59:59.000Z', 'RFC 3339 allows lower case'],
    ['2023-12-31T23:59:59+05:30', '2023-12-31T18:29:59.000Z', 'east of UTC is earlier'],
    ['2023-12-31T23:59:59-00:00', '2023-12-31T23:59:59.000Z', 'the unknown offset is UTC'],
    ['2023-12-31T23:30:00-01:00', '2024-01-01T00:30:00.000Z', 'an offset may carry into the next year'],
    ['2024-02-29T00:00:00Z', '2024-02-29T00:00:00.000Z', 'a leap year'],
    ['2000-02-29T00:00:00Z', '2000-02-29T00:00:00.000Z', 'so was 2000'],
    ['0000-01-01T00:00:00Z', '0000-01-01T00:00:00.000Z', 'the first year RFC 3339 can write'],
    ['0070-03-04T05:06:07Z', '0070-03-04T05:06:07.000Z', 'two-digit years are not of the last century'],
    ['9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z', 'the last instant it can write'],
    ['2030-01-01T00:00:00.5Z', '2030-01-01T00:00:00.500Z', ''],
    ['2030-01-01T00:00:00.123000000Z', '2030-01-01T00:00:00.123Z', ''],
    ['2030-01-01T00:00:00.1230001Z', '2030-01-01T00:00:00.124Z', 'never earlier than asked for'],
    ['2030-12-31T23:59:59.9991Z', '2031-01-01T00:00:00.000Z', 'rounding carries'],
    ['2016-12-31T23:59:60Z', '2017-01-01T00:00:00.000Z', 'a leap second'],
    ['1990-12-31T15:59:60-08:00', '1991-01-01T00:00:00.000Z', 'the example of RFC 3339, 5.8'],
    ['1968-12-31T23:59:60.9999Z', '1969-01-01T00:00:01.000Z', 'a leap second with a fraction'],
  ])('%s is %s (%s)', (text, expected) => expect(instant(text)).toBe(expected));

  it.each([
    ['2023-02-29T00:00:00Z', 'is a date that does not exist'],
    ['2023-02-31T00:00:00', 'is a date that does not exist'],
    ['1900-02-29T00:00:00Z', 'is a date that does not exist'],
    ['2023-04-31T00:00:00Z', 'is a date that does not exist'],
    ['2023-00-10T00:00:00Z', 'is a date that does not exist'],
    ['2023-13-10T00:00:00Z', 'is a date that does not exist'],
    ['2023-01-00T00:00:00Z', 'is a date that does not exist'],
    ['2023-01-01T24:00:00Z', 'is a time of day that does not exist'],
    ['2023-01-01T00:60:00Z', 'is a time of day that does not exist'],
    ['2023-01-01T00:00:61Z', 'is a time of day that does not exist'],
    ['2023-01-01T00:00:00+24:00', 'has an offset that does not exist'],
    ['2023-01-01T00:00:00+01:60', 'has an offset that does not exist'],
    ['2023-12-30T23:59:60Z', 'is no leap second: those end a month in UTC'],
    ['2023-12-31T23:59:60+01:00', 'is no leap second: those end a month in UTC'],
    ['0000-01-01T00:00:00+00:01', 'must lie in the years 0000 to 9999 UTC'],
    ['9999-12-31T23:59:59-00:01', 'must lie in the years 0000 to 9999 UTC'],
    ['9999-12-31T23:59:60Z', 'must lie in the years 0000 to 9999 UTC'],
  ])('%s %s', (text, detail) => expect(instant(text)).toBe(detail));

  it.each([
    '',
    'now',
    '2023-12-31',
    '2023-12-31 23:59:59',
    '2023-12-31T23:59',
    '2023-12-31T23:59:59.',
    '2023-12-31T23:59:59,5Z',
    '2023-12-31T23:59:59+0100',
    '2023-12-31T23:59:59 Z',
    ' 2023-12-31T23:59:59Z',
    '2023-12-31T23:59:59Z\n',
    '+002023-12-31T23:59:59Z',
    '-2023-12-31T23:59:59Z',
    '٢٠٢٣-12-31T23:59:59Z',
    '1703980799',
    `2023-12-31T23:59:59.${'0'.repeat(100_000)}Z`,
  ])('%j is no RFC 3339 time', (text) => {
    expect(instant(text)).toBe('must be an RFC 3339 time such as 2030-12-31T23:59:59Z');
  });

  it('agrees with Date on every instant it can write', () => {
    const years = { min: new Date('0000-01-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59.999Z') };
    fc.assert(
      fc.property(fc.date({ ...years, noInvalidDate: true }), (date) => {
        expect(parseScheduledTime(date.toISOString())).toEqual({ ok: true, epochMs: date.getTime() });
      }),
    );
  });

  it('accepts the dates of the calendar and no others', () => {
    const two = (value: number) => String(value).padStart(2, '0');
    fc.assert(
      fc.property(fc.nat(9999), fc.nat(99), fc.nat(99), (year, month, day) => {
        const text = `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}T00:00:00.000Z`;
        // Date rolls a day that does not exist over into the next month, and so does not give the text back.
        const time = Date.parse(text);
        const exists = !Number.isNaN(time) && new Date(time).toISOString() === text;
        expect(parseScheduledTime(text).ok).toBe(exists);
      }),
      { numRuns: 1_000 },
    );
  });
});
