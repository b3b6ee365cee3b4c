import { describe, expect, it } from 'vitest';
import { NameLimits } from './name-limits.ts';

const task = (name: string) => ({ name });

describe('tasks of one name', () => {
  let noneWaits: number;
  const limits = () => {
    noneWaits = 0;
    return new NameLimits({
      limitOf: (name) => (name === 'free' ? undefined : 2),
      onNoneWaits: () => (noneWaits += 1),
    });
  };

  it('run as many at a time as they may, and the others wait in order', () => {
    const names = limits();
    const [a, b, c, d] = [task('x'), task('x'), task('x'), task('x')];
    expect([a, b, c, d].map((each) => names.enter(each))).toEqual([true, true, false, false]);
    expect(names.busy).toEqual(['x']);
    expect(names.waiting).toBe(2);
    expect(names.waitingTasks).toEqual([c, d]);
    expect(names.leave(b)).toBe(c);
    expect(noneWaits).toBe(0);
    expect(names.leave(a)).toBe(d);
    expect(names.busy).toEqual([]);
    expect([names.waiting, noneWaits]).toEqual([0, 1]);
    const e = task('x');
    expect(names.enter(e)).toBe(false);
    expect(names.leave(c)).toBe(e);
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
    expect(names.leave(c)).toBeUndefined();
    expect([names.waiting, noneWaits]).toEqual([1, 0]);
    expect(names.leave(a)).toBe(d);
    expect([names.waiting, noneWaits]).toEqual([0, 1]);
  });

  it('leave once', () => {
    const names = limits();
    const [a, b, c, d] = [task('x'), task('x'), task('x'), task('x')];
    for (const each of [a, b, c, d]) names.enter(each);
    expect(names.leave(a)).toBe(c);
    expect(names.leave(a)).toBeUndefined();
    expect(names.waiting).toBe(1);
    for (const each of [b, c, d, d]) names.leave(each);
    expect([names.waiting, names.enter(a), names.enter(b), names.enter(c)]).toEqual([0, true, true, false]);
  });
});
