import { describe, expect, it } from 'vitest';
import { StoreUnavailableError } from '../../libs/db/stores.ts';
import type { ExecutionStore, RemovedFinished } from '../../libs/db/stores.ts';
import { keptLog } from '../../libs/testing/kept-log.ts';
import { ManualClock } from '../../libs/testing/manual-clock.ts';
import { seededRandom } from '../../libs/testing/seeded-random.ts';
import { Availability } from './availability.ts';
import { Retention } from './retention.ts';

const WEEK_MS = 604_800_000;
const DONE: RemovedFinished = { passed: 0, removed: 0, toGoMs: null, done: true };
const MORE: RemovedFinished = { passed: 500, removed: 400, toGoMs: 1, done: false };

type Request = Parameters<ExecutionStore['removeFinished']>[0];

/** A worker's removal of old tasks, on time that the test moves on, with the database's answers. */
function start(answers: (RemovedFinished | null | Error)[]) {
  const clock = new ManualClock();
  const { logger, said } = keptLog();
  const requests: Request[] = [];
  const turn = { ours: true };
  const stopping = new AbortController();
  const retention = new Retention({
    store: {
      removeFinished: (request) => {
        requests.push(request);
        const answer = answers.shift() ?? DONE;
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
    },
    availability: new Availability({ clock, random: seededRandom(1), logger }),
    keepMs: WEEK_MS,
    isOurs: () => turn.ours,
    clock,
    logger,
  });
  const running = retention.run(stopping.signal);
  running.catch(() => {});
  return { clock, said, requests, turn, running, stop: () => stopping.abort() };
}

describe('the removal of old tasks', () => {
  it('asks once a minute where there is nothing to do, and not at all where it is another worker’s turn', async () => {
    const { clock, requests, turn, running, stop } = start([]);
    await clock.advance(600_000);
    expect(requests).toHaveLength(11);
    expect(requests[0]).toMatchObject({ keepMs: WEEK_MS, passMs: 3_600_000, span: 500, most: 500 });
    turn.ours = false;
    await clock.advance(600_000);
    expect(requests).toHaveLength(11);
    turn.ours = true;
    await clock.advance(1_000);
    expect(requests).toHaveLength(12);
    stop();
    await running;
    expect(clock.pending).toBe(0);
  });

  it('goes on until it is done, and says once how many it has removed', async () => {
    const { clock, requests, said } = start([MORE, MORE, { ...DONE, removed: 1 }]);
    await clock.advance(1_000);
    expect(requests).toHaveLength(3);
    expect(said).toEqual(['Removed old events']);
    await clock.advance(120_000);
    expect(said).toHaveLength(1);
  });

  it('says so as well where it ends, or another takes over, before it is done', async () => {
    const taken = start([MORE, MORE, MORE, MORE]);
    await taken.clock.advance(15);
    taken.turn.ours = false;
    await taken.clock.advance(1_000);
    expect(taken.said).toEqual(['Removed old events']);
    const stopped = start([MORE]);
    await stopped.clock.advance(0);
    stopped.stop();
    await stopped.running;
    expect(stopped.said).toEqual(['Removed old events']);
  });

  it('leaves the work to another that is at it', async () => {
    const { clock, requests } = start([null, null]);
    await clock.advance(59_000);
    expect(requests).toHaveLength(1);
  });

  it('waits for a database that is away, and says so as others do, whosever turn it is meanwhile', async () => {
    const away = new StoreUnavailableError('refused');
    const { clock, requests, said, turn } = start([MORE, away, away, DONE]);
    await clock.advance(500);
    expect(said).toEqual(['database unavailable: waiting for it']);
    turn.ours = false;
    await clock.advance(3_000);
    expect(requests.map(({ most }) => most)).toEqual([500, 1_000, 100, 100]);
    expect(said).toEqual(['database unavailable: waiting for it', 'database is back', 'Removed old events']);
  });

  it('ends with a fault that waiting cannot mend', async () => {
    const { clock, running } = start([new Error('a bug')]);
    await clock.advance(0);
    await expect(running).rejects.toThrow('a bug');
  });
});
