import { describe, expect, it } from 'vitest';
import { seededRandom } from '../libs/testing/seeded-random.ts';
import { drawSchedule } from './actions.ts';
import type { Action } from './actions.ts';
import { runSeed } from './run.ts';
import { runSeeds } from './seeds.ts';

describe('the simulation', () => {
  it.each([2, 7, 12, 389, 930])('gives the same transcript when seed %i is run again', async (seed) => {
    const first = await runSeed({ seed, steps: 300, transcript: true });
    const again = await runSeed({ seed, steps: 300, transcript: true });
    expect(first.transcript.length).toBeGreaterThan(300);
    expect(again.transcript).toEqual(first.transcript);
    expect(first.violation).toBeUndefined();
    expect(first.handlersStarted).toBeGreaterThan(0);
  });

  it('draws every kind of fault', () => {
    const drawn = new Set<Action['kind']>();
    for (let seed = 1; seed <= 40; seed += 1) {
      for (const { action } of drawSchedule(seededRandom(seed), 300)) if (action) drawn.add(action.kind);
    }
    expect([...drawn].sort()).toEqual([
      ...['administer', 'blackHole', 'cancel', 'crash', 'cut', 'delayReply', 'depose', 'expire'],
      ...['loseEvents', 'loseNotifications', 'loseReply'],
      ...[
        'patch',
        'pause',
        'postgresRestart',
        'remove',
        'retry',
        'run',
        'slowBackend',
        'slowWire',
        'start',
        'stepClock',
        'stop',
        'submit',
      ],
      ...['wedge', 'wipe', 'zookeeperDown'],
    ]);
  });

  it('keeps every promise in 1,000 seeds of 300 steps', { timeout: 300_000 }, async () => {
    const { done, failed, handlersStarted, counts } = await runSeeds({ from: 1, count: 1_000, steps: 300 });
    expect(failed).toEqual([]);
    expect(done).toBe(1_000);
    expect(handlersStarted).toBeGreaterThan(20_000);
    // What is drawn need not meet anything: these have.
    for (const [what, least] of [
      ['attempts taken from a worker that lives', 50],
      ['replies of Postgres lost to claim-tasks', 50],
      ['replies of Postgres lost to finish-tasks', 50],
      ['replies of Postgres lost to acquire-partitions', 20],
      ['replies of Postgres lost to release-partitions', 20],
      ['replies of Postgres lost to insert-tasks', 20],
      ['replies of Postgres lost to insert-usual', 50],
      ['replies of ZooKeeper lost to a multi', 100],
      ['replies of Postgres delayed', 500],
      ['looks cut off', 100],
      ['watch events lost', 100],
      ['claims of a task for which others wait', 2_000],
      ['handlers told that they are cancelled', 100],
      ['handlers that ended: later', 500],
      ['handlers that ended: failed for good', 100],
      ['attempts that took longer than they may', 100],
      ['claims of what goes first', 500],
      ['patches of a version', 100],
      ['submissions answered as at first', 100],
      ['tasks removed for their age', 5_000],
    ] as const)
      expect(counts.get(what), what).toBeGreaterThan(least);
  });
});
