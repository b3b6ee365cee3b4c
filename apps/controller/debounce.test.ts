import { describe, expect, it } from 'vitest';
import { Debounce } from './debounce.ts';

const debounce = () => new Debounce({ quietMs: 500, maxMs: 1_000 });

describe('a debounce', () => {
  it('is over once nothing has changed for the quiet time', () => {
    const wait = debounce();
    expect(wait.remainingMs('w1', 0)).toBe(500);
    expect(wait.remainingMs('w1', 200)).toBe(300);
    expect(wait.remainingMs('w1', 500)).toBe(0);
    expect(wait.remainingMs('w1', 900)).toBe(0);
  });

  it('starts the quiet time again with each change, but ends at the longest wait', () => {
    const wait = debounce();
    wait.remainingMs('w1', 0);
    expect(wait.remainingMs('w1 w2', 400)).toBe(500);
    expect(wait.remainingMs('w1 w2 w3', 800)).toBe(200);
    expect(wait.remainingMs('w1 w2 w3 w4', 1_000)).toBe(0);
  });

  it('begins anew after a reset', () => {
    const wait = debounce();
    wait.remainingMs('w1', 0);
    wait.reset();
    expect(wait.remainingMs('w1', 5_000)).toBe(500);
  });
});
