import { expect, it } from 'vitest';
import { OpenRecords } from './open-records.ts';

it('a record goes with its last attempt, and is forgotten then', () => {
  const records = new OpenRecords();
  const first = { partition: 1, record: 7 };
  const second = { partition: 2, record: 7 };
  for (const record of [first, first, second]) records.opened(record);
  expect(records.ended(first)).toBe(false);
  expect(records.ended(second)).toBe(true);
  expect(records.ended(first)).toBe(true);
  expect(records.size).toBe(0);
});
