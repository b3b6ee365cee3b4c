import { beforeEach, describe, expect, it } from 'vitest';
import type { Json, TaskId } from '../../libs/core/task.ts';
import { deferred } from '../../libs/testing/deferred.ts';
import type { Deferred } from '../../libs/testing/deferred.ts';
import type { AttemptContext } from './attempt-context.ts';
import { GIVE_UP_MS } from './attempt-end.ts';
import type { Handler } from './handlers/handler.ts';
import { ExecutorUnderTest, claimed, claimedApart } from './testing/executor-under-test.ts';

const TIMEOUT_MS = 1_000;
const DEAF = 'Event does not heed its signal: given up, and its handler may still be running';

/** `id/attempt` of each that was started. */
let started: string[];
let ends: Map<TaskId, Deferred<undefined>>;
beforeEach(() => {
  started = [];
  ends = new Map();
});

/** Goes on until the test ends it, whatever it is told. */
function run(_: Json, { id, attempt }: AttemptContext): Promise<undefined> {
  started.push(`${id}/${attempt}`);
  const end = deferred<undefined>();
  ends.set(id, end);
  return end.promise;
}
const oneAtATime: Handler = { run, concurrency: 1 };

describe('the place of a deaf handler among those of its name', () => {
  it('is another’s once its time is up and it was given up', async () => {
    const handler = { ...oneAtATime, timeoutMs: TIMEOUT_MS };
    const { executor, clock, outcomes, log } = new ExecutorUnderTest(() => handler);
    executor.accept([claimed(1), claimed(2)]);
    await clock.advance(TIMEOUT_MS + GIVE_UP_MS - 1);
    expect([started, log.said.includes(DEAF)]).toEqual([['1/1'], false]);
    await clock.advance(1);
    expect([started, log.said.includes(DEAF)]).toEqual([['1/1', '2/1'], true]);
    expect(outcomes).toEqual(['1/1 RETRY']);
  });

  it.each(['cancelled', 'lost'] as const)('is another’s when it was given up as %s', async (reason) => {
    const { executor, clock, outcomes } = new ExecutorUnderTest(() => oneAtATime);
    executor.accept([claimed(1), claimed(2)]);
    executor.abort(1, 1, reason);
    await clock.advance(GIVE_UP_MS - 1);
    expect(started).toEqual(['1/1']);
    await clock.advance(1);
    expect(started).toEqual(['1/1', '2/1']);
    expect(outcomes).toEqual(['1/1 HANDED_BACK']);
  });

  it('is another’s when its task has come back to this worker', async () => {
    const { executor, clock, outcomes } = new ExecutorUnderTest(() => oneAtATime);
    executor.accept([claimed(1)]);
    executor.accept([claimed(1, { attempt: 2 })]);
    await clock.advance(GIVE_UP_MS);
    expect(started).toEqual(['1/1', '1/2']);
    expect(outcomes).toEqual([]);
  });

  it('is left once, though it ends after all', async () => {
    const { executor, clock, outcomes, log } = new ExecutorUnderTest(() => oneAtATime);
    executor.accept([claimed(1), claimed(2), claimed(3)]);
    executor.abort(1, 1, 'cancelled');
    await clock.advance(GIVE_UP_MS);
    ends.get(1)?.resolve(undefined);
    await clock.advance(TIMEOUT_MS);
    expect(started).toEqual(['1/1', '2/1']);
    ends.get(2)?.resolve(undefined);
    await clock.advance(0);
    expect(started).toEqual(['1/1', '2/1', '3/1']);
    expect(outcomes).toEqual(['1/1 HANDED_BACK', '2/1 COMPLETED']);
    expect(log.said.filter((said) => said === DEAF)).toHaveLength(1);
  });

  it('is its own until its thread has ended, where it has one', async () => {
    const inThread = { ...oneAtATime, prepare: () => Promise.resolve({ run }) };
    const { executor, clock, outcomes, log } = new ExecutorUnderTest(() => inThread);
    executor.accept([claimed(1), claimed(2)]);
    await clock.advance(0);
    executor.abort(1, 1, 'cancelled');
    await clock.advance(10 * GIVE_UP_MS);
    expect([started, outcomes]).toEqual([['1/1'], ['1/1 HANDED_BACK']]);
    ends.get(1)?.resolve(undefined);
    await clock.advance(0);
    expect(started).toEqual(['1/1', '2/1']);
    expect(log.said).not.toContain(DEAF);
  });
});

it('an attempt that was lost has its place of the capacity until it is given up', async () => {
  const bench = new ExecutorUnderTest(() => ({ run }));
  bench.executor.accept([claimed(1)]);
  bench.result = 'refused';
  bench.executor.abort(1, 1, 'lost');
  expect([bench.executor.free, bench.executor.inFlight]).toEqual([9, 1]);
  await bench.clock.advance(GIVE_UP_MS);
  expect([bench.executor.free, bench.executor.inFlight]).toEqual([10, 0]);
});

it('a batch of outcomes that is being recorded takes no places, and what ends meanwhile does', async () => {
  const bench = new ExecutorUnderTest(() => ({ run }));
  const { executor, clock } = bench;
  const ten = (first: number) => Array.from({ length: 10 }, (_, index) => claimed(first + index));
  const end = async (tasks: readonly { id: TaskId }[]) => {
    for (const { id } of tasks) ends.get(id)?.resolve(undefined);
    await clock.advance(0);
  };
  const [recorded, more] = [deferred<undefined>(), deferred<undefined>()];
  bench.recording = recorded.promise;
  executor.accept(ten(1));
  expect(executor.free).toBe(0);
  await end(ten(1));
  expect([executor.free, executor.inFlight, bench.freed]).toEqual([10, 10, [10]]);
  executor.accept(ten(11));
  await end(ten(11));
  expect([executor.free, executor.inFlight]).toEqual([0, 20]);
  bench.recording = more.promise;
  recorded.resolve(undefined);
  await clock.advance(0);
  expect([executor.free, executor.inFlight, bench.freed.at(-1)]).toEqual([10, 10, 10]);
  more.resolve(undefined);
  await clock.advance(0);
  expect([executor.free, executor.inFlight, bench.outcomes.length]).toEqual([10, 0, 20]);
});

it('tells how long the one has been here that has been longest and has not ended, also where a task has come back', async () => {
  const { executor, clock } = new ExecutorUnderTest(() => ({ run }));
  const longest: number[] = [];
  const later = async (ms: number) => {
    await clock.advance(ms);
    longest.push(executor.longestMs);
  };
  await later(1);
  executor.accept([claimed(1)]);
  await later(10);
  executor.accept([claimed(2)]);
  await later(10);
  // The first was taken from us, and is ours again.
  executor.accept([claimed(1, { attempt: 2, record: 3 })]);
  await later(10);
  ends.get(2)?.resolve(undefined);
  await later(0);
  expect(longest).toEqual([0, 10, 20, 20, 10]);
});

it('one whose task has come back while its outcome is being recorded frees no place a second time', async () => {
  const bench = new ExecutorUnderTest(() => ({ run }));
  const { executor, clock } = bench;
  const recorded = deferred<undefined>();
  bench.recording = recorded.promise;
  executor.accept([claimed(1), claimed(2)]);
  for (const id of [1, 2]) ends.get(id)?.resolve(undefined);
  await clock.advance(0);
  expect(executor.free).toBe(10);
  executor.accept([claimed(1, { attempt: 2 })]);
  expect(executor.free).toBe(9);
  recorded.resolve(undefined);
  await clock.advance(0);
  expect([executor.free, executor.inFlight]).toEqual([9, 1]);
});

describe('an attempt that is cancelled before it has started', () => {
  it('is ended at once where its payload is being read, and never started', async () => {
    const bench = new ExecutorUnderTest(() => oneAtATime);
    const { executor, clock, outcomes } = bench;
    const payloads = deferred<Map<TaskId, Json>>();
    bench.readPayloads = () => payloads.promise;
    executor.accept([claimedApart(1), claimed(2)]);
    executor.abort(1, 1, 'cancelled');
    await clock.advance(0);
    expect([outcomes, started]).toEqual([['1/1 HANDED_BACK'], ['2/1']]);
    payloads.resolve(new Map([[1, 'late']]));
    await clock.advance(10 * GIVE_UP_MS);
    expect(started).toEqual(['2/1']);
  });

  it('is ended without an outcome where it was lost', async () => {
    const bench = new ExecutorUnderTest(() => oneAtATime);
    const { executor, clock, outcomes } = bench;
    bench.readPayloads = () => Promise.resolve(new Map([[1, null]]));
    executor.accept([claimedApart(1), claimed(2)]);
    executor.abort(1, 1, 'lost');
    await clock.advance(0);
    expect([outcomes, started, executor.inFlight]).toEqual([[], ['2/1'], 1]);
  });

  it('is never started though the cancellation came before the claim’s reply', async () => {
    const { executor, clock, outcomes } = new ExecutorUnderTest(() => ({ run }));
    executor.abort(1, 2, 'cancelled');
    executor.accept([claimed(1, { attempt: 2 }), claimed(2, { attempt: 1 })]);
    await clock.advance(0);
    expect([outcomes, started]).toEqual([['1/2 HANDED_BACK'], ['2/1']]);
  });

  it('is started where the cancellation was of another attempt', () => {
    const { executor } = new ExecutorUnderTest(() => ({ run }));
    executor.abort(1, 1, 'cancelled');
    executor.accept([claimed(1, { attempt: 2 })]);
    expect(started).toEqual(['1/2']);
  });
});

describe('tasks that wait for others of their name', () => {
  it('have their short payloads read at once and together, and are started with them one after the other', async () => {
    const given: unknown[] = [];
    const bench = new ExecutorUnderTest(() => ({
      concurrency: 1,
      run: (payload) => Promise.resolve(void given.push(payload)),
    }));
    const reads: number[][] = [];
    bench.readPayloads = (ids) => {
      reads.push(ids);
      return Promise.resolve(new Map(ids.map((id) => [id, `of ${id}`])));
    };
    bench.executor.accept([1, 2, 3].map((id) => claimedApart(id, { payloadIsShort: true })));
    await bench.clock.advance(0);
    expect(reads).toEqual([[1, 2, 3]]);
    expect(given).toEqual(['of 1', 'of 2', 'of 3']);
    expect(bench.outcomes).toEqual(['1/1 COMPLETED', '2/1 COMPLETED', '3/1 COMPLETED']);
  });

  it('have long ones read when it is their turn', async () => {
    const bench = new ExecutorUnderTest(() => oneAtATime);
    const reads: number[][] = [];
    bench.readPayloads = (ids) => {
      reads.push(ids);
      return Promise.resolve(new Map(ids.map((id) => [id, null])));
    };
    bench.executor.accept([1, 2].map((id) => claimedApart(id, { payloadIsShort: false })));
    await bench.clock.advance(0);
    expect([reads, started]).toEqual([[[1]], ['1/1']]);
    ends.get(1)?.resolve(undefined);
    await bench.clock.advance(0);
    expect([reads, started]).toEqual([
      [[1], [2]],
      ['1/1', '2/1'],
    ]);
  });

  it('are handed back where the partition has become another’s by the time their payloads come', async () => {
    const bench = new ExecutorUnderTest(() => oneAtATime);
    const payloads = deferred<Map<number, null>>();
    bench.readPayloads = () => payloads.promise;
    bench.executor.accept([1, 2].map((id) => claimedApart(id, { payloadIsShort: true })));
    bench.held = [];
    payloads.resolve(
      new Map([
        [1, null],
        [2, null],
      ]),
    );
    await bench.clock.advance(0);
    expect([bench.outcomes, started]).toEqual([['2/1 HANDED_BACK'], ['1/1']]);
  });

  it('are handed back when their partition is another’s, and the others are not', async () => {
    const bench = new ExecutorUnderTest(() => oneAtATime);
    const { executor, clock, outcomes } = bench;
    bench.held = [3, 4];
    executor.accept([claimed(1), claimed(2), claimed(3, { partition: 4 })]);
    bench.held = [4];
    executor.handBackNotHeld();
    await clock.advance(0);
    expect([outcomes, executor.inFlight]).toEqual([['2/1 HANDED_BACK'], 2]);
    ends.get(1)?.resolve(undefined);
    await clock.advance(0);
    expect(started).toEqual(['1/1', '3/1']);
  });

  it('are handed back at once where their partition was another’s by the time they came', async () => {
    const bench = new ExecutorUnderTest(() => oneAtATime);
    bench.held = [];
    bench.executor.accept([claimed(1), claimed(2)]);
    await bench.clock.advance(0);
    expect([bench.outcomes, started]).toEqual([['2/1 HANDED_BACK'], ['1/1']]);
  });

  it.each([
    ['cancelled', 'cancelled'],
    ['lost', 'lost'],
    ['handed back', undefined],
  ] as const)('let more of it be claimed when the last of them is %s', async (_, reason) => {
    const bench = new ExecutorUnderTest(() => oneAtATime);
    const { executor, clock } = bench;
    executor.accept([claimed(1), claimed(2), claimed(3)]);
    expect(executor.claimable.names).toEqual(['x']);
    executor.abort(2, 1, 'cancelled');
    await clock.advance(0);
    expect(bench.nameFree).toBe(0);
    if (reason === undefined) executor.handBackWaiting();
    else executor.abort(3, 1, reason);
    await clock.advance(0);
    expect([bench.nameFree, executor.claimable.names, started]).toEqual([1, [], ['1/1']]);
  });
});
