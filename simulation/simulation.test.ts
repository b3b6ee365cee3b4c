import { describe, expect, it } from 'vitest';
import { seededRandom } from '../libs/testing/seeded-random.ts';
import { drawSchedule } from './actions.ts';
import type { Action } from './actions.ts';
import { runSeed } from './run.ts';
import { runSeeds } from './seeds.ts';

describe('the simulation', () => {
  it('gives the same transcript when a seed is run again', async () => {
    const [first, again] = [
      await runSeed({ seed: 7, steps: 300, transcript: true }),
      await runSeed({ seed: 7, steps: 300, transcript: true }),
    ];
    expect(first.transcript.length).toBeGreaterThan(500);
    expect(again.transcript).toEqual(first.transcript);
    expect(first.violation).toBeUndefined();
    expect(first.handlersStarted).toBeGreaterThan(10);
  });

  it('draws every kind of fault', () => {
    const drawn = new Set<Action['kind']>();
    for (let seed = 1; seed <= 40; seed += 1) {
      for (const { action } of drawSchedule(seededRandom(seed), 300)) if (action) drawn.add(action.kind);
    }
    expect([...drawn].sort()).toEqual([
      ...['administer', 'blackHole', 'crash', 'cut', 'depose', 'expire', 'loseNotifications', 'loseReply'],
      ...[
        'pause',
        'postgresRestart',
        'remove',
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
    const { done, failed, handlersStarted } = await runSeeds({ from: 1, count: 1_000, steps: 300 });
    expect(failed).toEqual([]);
    expect(done).toBe(1_000);
    expect(handlersStarted).toBeGreaterThan(20_000);
  });
});
