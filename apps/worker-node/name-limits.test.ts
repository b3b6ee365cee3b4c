import { describe, expect, it } from 'vitest';
import { NameLimits } from './name-limits.ts';

const task = (name: string) => ({ name });
const limits = () => new NameLimits((name) => (name === 'free' ? undefined : 2));

describe('tasks of one name', () => {
  it('run as many at a time as they may, and the others wait in order', () => {
    const names = limits();
    const [a, b, c, d] = [task('x'), task('x'), task('x'), task('x')];
    expect([a, b, c, d].map((each) => names.enter(each))).toEqual([true, true, false, false]);
    expect(names.busy).toEqual(['x']);
    expect(names.waiting).toBe(2);
    expect(names.leave(b)).toBe(c);
    expect(names.leave(a)).toBe(d);
    expect(names.busy).toEqual([]);
    expect(names.waiting).toBe(0);
    expect(names.enter(task('x'))).toBe(false);
    expect(names.leave(c)).toEqual(task('x'));
    expect(names.leave(d)).toBeUndefined();
    expect(names.enter(task('x'))).toBe(true);
  });

  it('do not hold up those of another, nor what is not bounded', () => {
    const names = limits();
    for (let i = 0; i < 3; i++) names.enter(task('x'));
    expect(names.enter(task('y'))).toBe(true);
    for (let i = 0; i < 9; i++) expect(names.enter(task('free'))).toBe(true);
    expect(names.leave(task('free'))).toBeUndefined();
    expect(names.busy).toEqual(['x']);
  });

  it('that shall not start any more wait no more', () => {
    const names = limits();
    const [a, b, c, d] = [task('x'), task('x'), task('x'), task('x')];
    for (const each of [a, b, c, d]) names.enter(each);
    expect(names.giveUp(c)).toBe(true);
    expect(names.giveUp(c)).toBe(false);
    expect(names.giveUp(a)).toBe(false);
    expect(names.leave(a)).toBe(d);
    expect(names.waiting).toBe(0);
  });
});
