import { describe, expect, it } from 'vitest';
import { SessionLiveness } from './session-liveness.ts';

const TIMEOUT_MS = 1000;

/** A clock whose two faces are set by hand; the liveness of a session reads them and schedules nothing. */
function handSetClock() {
  return {
    monotonic: 5_000,
    wall: 1_700_000_000_000,
    monotonicMs() {
      return this.monotonic;
    },
    wallMs() {
      return this.wall;
    },
    schedule() {
      throw new Error('nothing to schedule');
    },
    pass(ms: number) {
      this.monotonic += ms;
      this.wall += ms;
    },
  };
}

describe('SessionLiveness', () => {
  it('has neither lease nor loss before a session is acknowledged', () => {
    const liveness = new SessionLiveness(handSetClock());
    expect(liveness.leaseValid(TIMEOUT_MS)).toBe(false);
    expect(liveness.lost(TIMEOUT_MS)).toBe(false);
  });

  it('counts from when the acknowledged request was sent, not from when the answer came', () => {
    const clock = handSetClock();
    const liveness = new SessionLiveness(clock);
    const sent = liveness.now();
    clock.pass(700);
    liveness.acknowledged(sent);
    expect(liveness.leaseValid(TIMEOUT_MS)).toBe(true);
    clock.pass(100);
    expect(liveness.leaseValid(TIMEOUT_MS)).toBe(false);
    expect(liveness.lost(TIMEOUT_MS)).toBe(false);
    clock.pass(201);
    expect(liveness.lost(TIMEOUT_MS)).toBe(true);
  });

  it('is not moved back by the late answer to an older request', () => {
    const clock = handSetClock();
    const liveness = new SessionLiveness(clock);
    const older = liveness.now();
    clock.pass(500);
    liveness.acknowledged(liveness.now());
    liveness.acknowledged(older);
    clock.pass(799);
    expect(liveness.leaseValid(TIMEOUT_MS)).toBe(true);
  });

  it('notices that the machine slept, where only the wall clock went on', () => {
    const clock = handSetClock();
    const liveness = new SessionLiveness(clock);
    liveness.acknowledged(liveness.now());
    clock.wall += 3_600_000;
    expect(liveness.leaseValid(TIMEOUT_MS)).toBe(false);
    expect(liveness.lost(TIMEOUT_MS)).toBe(true);
  });

  it('is not prolonged by a wall clock set back', () => {
    const clock = handSetClock();
    const liveness = new SessionLiveness(clock);
    liveness.acknowledged(liveness.now());
    clock.wall -= 3_600_000;
    clock.monotonic += 1001;
    expect(liveness.leaseValid(TIMEOUT_MS)).toBe(false);
    expect(liveness.lost(TIMEOUT_MS)).toBe(true);
  });
});
