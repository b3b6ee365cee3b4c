import { describe, expect, it } from 'vitest';
import { RetentionPace } from './retention-pace.ts';

const DAY_MS = 86_400_000;
const WEEK_MS = 7 * DAY_MS;

describe('the pace at which old tasks are removed', () => {
  it('leaves the database alone for 19 parts of 20, and for a minute when there is nothing to do', () => {
    const pace = new RetentionPace(WEEK_MS);
    expect(pace.after({ passed: 500, removed: 500, toGoMs: DAY_MS, done: false }, 20, 0)).toBeCloseTo(380);
    expect(pace.after({ passed: 3, removed: 3, toGoMs: 0, done: true }, 20, 400)).toBe(60_000);
    expect(pace.idle()).toBe(60_000);
  });

  it.each([
    [WEEK_MS, 60_000],
    [3_600_000, 36_000],
    [1, 1_000],
  ])('looks again in time for what is kept %d ms: after %d ms', (keepMs, idleMs) => {
    expect(new RetentionPace(keepMs).idle()).toBe(idleMs);
  });

  it('never spins, however short a call', () => {
    const pace = new RetentionPace(WEEK_MS);
    expect(pace.after({ passed: 0, removed: 0, toGoMs: null, done: false }, 0, 0)).toBeGreaterThan(0);
  });

  it('does not wait long because a reply was late', () => {
    const pace = new RetentionPace(WEEK_MS);
    expect(pace.after({ passed: 500, removed: 500, toGoMs: DAY_MS, done: false }, 20_000, 0)).toBe(60_000);
  });

  it('gives a call more tasks while that is quick, and fewer where it is slow', () => {
    const pace = new RetentionPace(WEEK_MS);
    const full = () => ({ passed: pace.rows, removed: pace.rows, toGoMs: DAY_MS, done: false });
    for (let call = 0; call < 10; call += 1) pace.after(full(), 5, call);
    expect(pace).toMatchObject({ rows: 5_000, span: 5_000 });
    pace.after(full(), 100, 10);
    expect(pace).toMatchObject({ rows: 5_000, span: 5_000 });
    for (let call = 0; call < 20; call += 1) pace.after(full(), 200, 10 + call);
    expect(pace).toMatchObject({ rows: 100, span: 100 });
  });

  it('gives a call more ids where few have a task left, and comes over any gap', () => {
    const pace = new RetentionPace(WEEK_MS);
    const nothing = { passed: 0, removed: 0, toGoMs: null, done: false };
    let [place, calls] = [0, 0];
    for (; place < 1e15; calls += 1) {
      place += pace.span;
      pace.after(nothing, 1, calls);
    }
    expect(calls).toBeLessThan(45);
    expect(pace.rows).toBe(500);
    // Where that takes its time, no more.
    const { span } = pace;
    pace.after(nothing, 100, calls);
    expect(pace.span).toBe(span);
    pace.after(nothing, 200, calls);
    expect(pace.span).toBe(span / 2);
  });

  it('does not ask for more and more ids at the end of the table', () => {
    const pace = new RetentionPace(WEEK_MS);
    for (let call = 0; call < 100; call += 1)
      pace.after({ passed: 1, removed: 1, toGoMs: 0, done: true }, 1, call * 60_000);
    expect(pace.span).toBe(500);
  });

  it('begins anew with little after a failure', () => {
    const pace = new RetentionPace(WEEK_MS);
    for (let call = 0; call < 10; call += 1)
      pace.after({ passed: pace.rows, removed: 0, toGoMs: DAY_MS, done: false }, 5, call);
    expect(pace.failed()).toBe(1_000);
    expect(pace).toMatchObject({ rows: 100, span: 100 });
  });

  describe('seen for some minutes', () => {
    /** A call a second, the end coming nearer by so much each second. */
    const walk = (pace: RetentionPace, minutes: number, nearerMs: number) => {
      let toGoMs = 2 * DAY_MS;
      for (let second = 0; second <= minutes * 60; second += 1) {
        toGoMs -= nearerMs;
        pace.after({ passed: 500, removed: 500, toGoMs, done: false }, 20, second * 1_000);
      }
    };

    it('is kept where it leads to the end within an hour', () => {
      const pace = new RetentionPace(WEEK_MS);
      walk(pace, 5, 60_000);
      expect(pace.share).toBe(0.05);
    });

    it('is kept where the way is long because a pass has begun anew', () => {
      const pace = new RetentionPace(WEEK_MS);
      walk(pace, 0.9, 60_000);
      const at = (toGoMs: number, nowMs: number) =>
        pace.after({ passed: 500, removed: 0, toGoMs, done: false }, 20, nowMs);
      at(300 * DAY_MS, 55_000);
      at(299 * DAY_MS, 70_000);
      expect(pace.share).toBe(0.05);
      at(290 * DAY_MS, 115_000);
      expect(pace.share).toBe(0.05);
    });

    it.each([
      ['comes nearer too slowly', 10_000],
      ['does not come nearer', 0],
      ['goes away: more is finished than removed', -500],
    ])('doubles where the end %s, up to a half, until it is reached', (_, nearerMs) => {
      const pace = new RetentionPace(WEEK_MS);
      walk(pace, 1, nearerMs);
      expect(pace.share).toBe(0.1);
      walk(pace, 5, nearerMs);
      expect(pace.share).toBe(0.5);
      pace.after({ passed: 1, removed: 1, toGoMs: 0, done: true }, 20, 400_000);
      expect(pace.share).toBe(0.05);
    });
  });
});
