import { beforeEach, describe, expect, it } from 'vitest';
import type { Json, TaskId } from '../../libs/core/task.ts';
import type { ClaimedTask } from '../../libs/db/stores.ts';
import { deferred } from '../../libs/testing/deferred.ts';
import { keptLog } from '../../libs/testing/kept-log.ts';
import { ManualClock, settle } from '../../libs/testing/manual-clock.ts';
import { seededRandom } from '../../libs/testing/seeded-random.ts';
import { Availability } from './availability.ts';
import { PayloadReader } from './payload-reader.ts';
import { claimedApart } from './testing/executor-under-test.ts';

/** Longer than a reply may have taken to be trusted. */
const LATE_MS = 500;

let clock: ManualClock;
let reader: PayloadReader;
/** How many were read at a time. */
let reads: number[];
/** What was read, and whose payload it was. */
let told: [TaskId, Json | undefined][];
let failed: [TaskId, unknown][];
/** The database's answer to each read. */
let answer: (ids: readonly TaskId[]) => Promise<Map<TaskId, Json>>;
beforeEach(() => {
  clock = new ManualClock();
  reads = [];
  told = [];
  failed = [];
  answer = (ids) => Promise.resolve(new Map(ids.map((id) => [id, id])));
  const { logger } = keptLog();
  const payloads = (attempts: readonly Pick<ClaimedTask, 'id'>[]) => {
    reads.push(attempts.length);
    return answer(attempts.map(({ id }) => id));
  };
  reader = new PayloadReader({
    ...{ store: { payloads }, availability: new Availability({ clock, random: seededRandom(1), logger }) },
    ...{ clock, logger, stop: new AbortController().signal },
    onRead: (tasks, payloads) =>
      told.push(...tasks.map(({ id }): (typeof told)[number] => [id, payloads.get(id)])),
    onFailed: ({ id }, error) => failed.push([id, error]),
  });
});

const tasks = (length: number, payloadIsShort?: boolean) =>
  Array.from({ length }, (_, id) => claimedApart(id, payloadIsShort === undefined ? {} : { payloadIsShort }));

it.each([
  ['short ones', true, [500, 500, 10]],
  ['long ones', false, [...Array<number>(31).fill(32), 18]],
  ['those of which nobody knows', undefined, [...Array<number>(31).fill(32), 18]],
])('reads as many at a time as make a reply of a few megabytes: %s', async (_, short, expected) => {
  reader.read(tasks(1_010, short));
  await settle();
  expect(reads).toEqual(expected);
  expect(told.map(([id]) => id)).toEqual(tasks(1_010).map(({ id }) => id));
});

describe('a reply that comes late', () => {
  /** Begins to read three, whose payloads the database answers with only after so long. */
  async function readLate(): Promise<void> {
    const late = deferred<Map<TaskId, Json>>();
    answer = () => late.promise;
    reader.read(tasks(3, true));
    await clock.advance(LATE_MS);
    answer = (ids) => Promise.resolve(new Map(ids.filter((id) => id !== 1).map((id) => [id, id])));
    late.resolve(new Map(tasks(3).map(({ id }) => [id, id])));
  }

  it('is read again: attempts may have been taken away while the worker was frozen', async () => {
    await readLate();
    await settle();
    expect(reads).toEqual([3, 3]);
    expect(told).toEqual([
      [0, 0],
      [1, undefined],
      [2, 2],
    ]);
  });

  it('is taken as it is the second time: a slow database would never be done', async () => {
    await readLate();
    const late = deferred<Map<TaskId, Json>>();
    answer = () => late.promise;
    await clock.advance(LATE_MS);
    expect(told).toEqual([]);
    late.resolve(new Map([[2, 'late']]));
    await settle();
    expect(reads).toEqual([3, 3]);
    expect(told).toEqual([
      [0, undefined],
      [1, undefined],
      [2, 'late'],
    ]);
  });
});

it('tells of each whose read the database refused', async () => {
  const error = new Error('of its own');
  answer = () => Promise.reject(error);
  reader.read(tasks(2, true));
  await settle();
  expect([told, failed]).toEqual([
    [],
    [
      [0, error],
      [1, error],
    ],
  ]);
});
