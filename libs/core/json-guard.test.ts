import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_DEPTH, MAX_ERRORS, findJsonFaults } from './json-guard.ts';

const nested = (depth: number): unknown => JSON.parse('['.repeat(depth) + ']'.repeat(depth));

describe('the faults of a JSON value', () => {
  it.each([
    ['{"a":[1,{"b":"x\\u0000y"}]}', '/a/1/b', 'must not contain the character NUL'],
    ['"\\ud800"', '', 'must not contain half of a surrogate pair'],
    ['["\\udc00\\ud800"]', '/0', 'must not contain half of a surrogate pair'],
    ['{"a":1e400}', '/a', 'must be a number that fits a double'],
    ['[-1e400]', '/0', 'must be a number that fits a double'],
    ['{"__proto__":{"x":1}}', '/__proto__', 'the name of this member must not be named __proto__'],
    ['{"a/b":{"~":"\\u0000"}}', '/a~1b/~0', 'must not contain the character NUL'],
    ['{"k\\u0000":1}', '/k\0', 'the name of this member must not contain the character NUL'],
  ])('%s', (json, pointer, detail) => {
    expect(findJsonFaults(JSON.parse(json))).toEqual([{ pointer, detail }]);
  });

  it('ends at the depth bound, however deep the value goes on', () => {
    expect(findJsonFaults(nested(MAX_DEPTH))).toEqual([]);
    const [fault, ...others] = findJsonFaults(nested(100_000));
    expect(fault).toEqual({
      pointer: '/0'.repeat(MAX_DEPTH),
      detail: `must not be nested deeper than ${MAX_DEPTH} levels`,
    });
    expect(others).toEqual([]);
  });

  it('names only so many', () => {
    const members = Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`${index}\0`, '\0']));
    expect(findJsonFaults(members)).toHaveLength(MAX_ERRORS);
    expect(findJsonFaults(Object.values(members))).toHaveLength(MAX_ERRORS);
  });

  it('finds none in JSON that every store can hold', () => {
    const text = fc.string({ unit: 'grapheme' }).filter((value) => !value.includes('\0'));
    const key = text.filter((value) => value !== '__proto__');
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'grapheme' }), fc.dictionary(key, text), (value, members) => {
        fc.pre(!/\\u0000|__proto__/.test(JSON.stringify(value)));
        expect(findJsonFaults([value, members])).toEqual([]);
      }),
    );
  });
});
