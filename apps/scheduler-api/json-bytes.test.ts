import { describe, expect, it } from 'vitest';
import type { Json } from '../../libs/core/task.ts';
import { jsonBytes } from './json-bytes.ts';

describe('the bytes of JSON', () => {
  it.each<[Json, string]>([
    [{ a: [1, 'ö', null, 0.5] }, '{"a":[1,"ö",null,0.5]}'],
    [1e21, `1${'0'.repeat(21)}`],
    [-1.5e300, `-15${'0'.repeat(299)}`],
    [1e-7, '0.0000001'],
    [-1.25e-10, '-0.000000000125'],
    [5e-324, `0.${'0'.repeat(323)}5`],
    [1e20, '100000000000000000000'],
    ['1e+30', '"1e+30"'],
    [{ '1e+30': [1e30, { x: '2e-9' }] }, `{"1e+30":[1${'0'.repeat(30)},{"x":"2e-9"}]}`],
  ])('of %j are those of its numbers written out', (value, text) => {
    expect(jsonBytes(value)).toBe(Buffer.byteLength(text));
  });

  it('of the largest number are its 309 digits', () => {
    expect(jsonBytes(Number.MAX_VALUE)).toBe(BigInt(Number.MAX_VALUE).toString().length);
  });
});
