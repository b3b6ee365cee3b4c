import { beforeEach, describe, expect, it } from 'vitest';
import { StoreUnavailableError } from '../../libs/db/stores.ts';
import type { ClaimedTask, ProgressReport } from '../../libs/db/stores.ts';
import { keptLog } from '../../libs/testing/kept-log.ts';
import { ManualClock } from '../../libs/testing/manual-clock.ts';
import { seededRandom } from '../../libs/testing/seeded-random.ts';
import { Availability } from './availability.ts';
import { ProgressWriter } from './progress-writer.ts';

const task = (id: number): ClaimedTask => ({
  ...{ id, name: 'x', partition: 3, epoch: 2, incarnation: 'i', record: 1, attempt: 1, failures: 0 },
  ...{ policy: null, priority: 0, serial: false, scheduledAtMs: 1, dueAtMs: 1, claimedAtMs: 1 },
});
const done = (share: number) => ({ done: share, note: null });

describe('progress', () => {
  let clock: ManualClock;
  let log: ReturnType<typeof keptLog>;
  let written: [atMs: number, ids: number[], done: number[]][];
  let store: (reports: readonly ProgressReport[]) => Promise<number[]>;
  let writer: ProgressWriter;
  beforeEach(() => {
    clock = new ManualClock();
    log = keptLog();
    written = [];
    store = (reports) => Promise.resolve(reports.map(({ id }) => id));
    const { logger } = log;
    writer = new ProgressWriter({
      store: {
        reportProgress(reports) {
          const columns = [reports.map(({ id }) => id), reports.map((report) => report.done)] as const;
          written.push([clock.monotonicMs(), ...columns]);
          return store(reports);
        },
      },
      availability: new Availability({ clock, random: seededRandom(1), logger }),
      ...{ clock, logger },
    });
  });

  it('is written at once, that of one turn together', async () => {
    writer.report(task(1), done(0.1));
    writer.report(task(2), done(0.2));
    await clock.advance(0);
    expect(written).toEqual([[0, [1, 2], [0.1, 0.2]]]);
  });

  it('is written again a second later, the newest of each, and not while there is no news', async () => {
    writer.report(task(1), done(0.1));
    await clock.advance(100);
    for (const share of [0.2, 0.3, 0.4]) writer.report(task(1), done(share));
    writer.report(task(2), done(0.9));
    await clock.advance(60_000);
    expect(written).toEqual([
      [0, [1], [0.1]],
      [1_000, [1, 2], [0.4, 0.9]],
    ]);
    expect(clock.pending).toBe(0);
    writer.report(task(1), done(0.5));
    await clock.advance(0);
    expect(written[2]).toEqual([60_100, [1], [0.5]]);
  });

  it('that comes while it is being written goes with the next', async () => {
    store = (reports) => {
      if (written.length === 1) writer.report(task(1), done(0.2));
      return Promise.resolve(reports.map(({ id }) => id));
    };
    writer.report(task(1), done(0.1));
    await clock.advance(1_000);
    expect(written.map(([, , shares]) => shares)).toEqual([[0.1], [0.2]]);
  });

  it('of what has ended is not written', async () => {
    writer.report(task(1), done(0.1));
    await clock.advance(0);
    writer.report(task(1), done(0.2));
    writer.report(task(2), done(0.2));
    writer.forget(task(1));
    await clock.advance(1_000);
    expect(written[1]).toEqual([1_000, [2], [0.2]]);
  });

  it('that was left out is tried again, behind the others', async () => {
    store = () => Promise.resolve(written.length === 1 ? [2] : [1, 3]);
    writer.report(task(1), done(0.1));
    writer.report(task(2), done(0.2));
    await clock.advance(500);
    writer.report(task(3), done(0.3));
    await clock.advance(10_000);
    expect(written.map(([, ids]) => ids)).toEqual([
      [1, 2],
      [1, 3],
    ]);
  });

  it('is written when the database is back', async () => {
    store = (reports) =>
      written.length < 3
        ? Promise.reject(new StoreUnavailableError('away'))
        : Promise.resolve(reports.map(({ id }) => id));
    writer.report(task(1), done(0.1));
    await clock.advance(10_000);
    expect(written.map(([atMs]) => atMs)).toEqual([0, 1_000, 2_000]);
    expect(log.said.at(-1)).toBe('database is back');
  });

  it('that the database refuses is dropped, and said', async () => {
    store = () => Promise.reject(new Error('no such column'));
    writer.report(task(1), done(0.1));
    await clock.advance(10_000);
    expect(written).toHaveLength(1);
    expect(log.said).toEqual(['could not write progress']);
  });

  it('of very many takes several seconds', async () => {
    for (let id = 1; id <= 1_001; id++) writer.report(task(id), done(0.1));
    await clock.advance(10_000);
    expect(written.map(([atMs, ids]) => [atMs, ids.length])).toEqual([
      [0, 500],
      [1_000, 500],
      [2_000, 1],
    ]);
  });
});
