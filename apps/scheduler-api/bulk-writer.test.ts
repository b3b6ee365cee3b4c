import { describe, expect, it } from 'vitest';
import { StoreUnavailableError } from '../../libs/db/stores.ts';
import { ManualClock } from '../../libs/testing/manual-clock.ts';
import { BulkWriter } from './bulk-writer.ts';
import { MemoryTaskStore } from './testing/memory-task-store.ts';

const MIB = 1024 * 1024;
const PATIENCE_MS = 15_000;

function start() {
  const [store, clock] = [new MemoryTaskStore(), new ManualClock()];
  const patience = { idempotencyKeyMs: 1_000, patienceMs: PATIENCE_MS };
  const writer = new BulkWriter({ store, clock, ...patience, writers: 2 });
  const task = (name: string) => ({ name, key: null, payload: null, scheduledAtMs: null });
  return {
    ...{ store, clock, writer },
    together: (name: string) => writer.together([task(name)], null),
    separately: (name: string) => writer.separately([{ task: task(name), once: null }]),
  };
}

/** Something under way, to be ended by the test. */
function work() {
  let end = (): void => undefined;
  const promise = new Promise<void>((resolve) => (end = resolve));
  return { promise, end };
}

const turnOfTheLoop = () => new Promise(setImmediate);

describe('the turns of large submissions', () => {
  it('come in the order in which they were asked for, two at a time', async () => {
    const { store, together, writer, clock } = start();
    const commit = store.holdCommits();
    const stored = ['a', 'b', 'c', 'd'].map((name) => together(name));
    await turnOfTheLoop();
    expect(store.inserts).toEqual([['a'], ['b']]);
    commit();
    await Promise.all(stored);
    expect(store.inserts).toEqual([['a'], ['b'], ['c'], ['d']]);
    await writer.close();
    expect(clock.pending).toBe(0);
  });

  it('that have not come when nobody waits any more never come', async () => {
    const { store, clock, together, separately } = start();
    const commit = store.holdCommits();
    const written = [together('a'), together('b')];
    const refused = [together('c'), together('d')].map((stored) => stored.catch((error: unknown) => error));
    const lines = separately('e');
    await clock.advance(PATIENCE_MS - 1);
    const late = together('late');
    await clock.advance(1);
    for (const error of [...(await Promise.all(refused)), ...(await lines)])
      expect(error).toMatchObject({
        code: 'timeout',
        message: expect.stringMatching(/^Nothing was stored/) as string,
      });
    commit();
    await Promise.all([...written, late]);
    expect(store.inserts).toEqual([['a'], ['b'], ['late']]);
    expect(clock.pending).toBe(0);
  });

  it('pass on when one fails', async () => {
    const { store, together } = start();
    store.fault = new StoreUnavailableError('away');
    const outcomes = await Promise.allSettled(['a', 'b', 'c'].map((name) => together(name)));
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    store.fault = undefined;
    expect(await together('d')).toHaveLength(1);
  });
});

describe('the room for large submissions', () => {
  it('is kept until the last of what it is kept for has settled', async () => {
    const { writer } = start();
    const [reading, storing, failing] = [work(), work(), work()];
    const room = writer.reserve(60 * MIB, reading.promise);
    room.keepFor(storing.promise);
    room.keepFor(failing.promise.then(() => Promise.reject(new Error('away'))));
    const isFull = () => {
      const mine = work();
      try {
        writer.reserve(5 * MIB, mine.promise);
        return false;
      } catch (error) {
        expect(error).toMatchObject({ code: 'overloaded' });
        return true;
      }
    };
    for (const { end } of [reading, storing, failing]) {
      expect(isFull()).toBe(true);
      end();
      await turnOfTheLoop();
    }
    expect(isFull()).toBe(false);
  });

  it('is taken by how many tasks there are as well as by how they are written', () => {
    const { writer } = start();
    const { promise } = work();
    for (let n = 0; n < 6; n++) writer.reserve(100, promise).widenFor(10_000);
    const seventh = writer.reserve(100, promise);
    expect(() => seventh.widenFor(10_000)).toThrow('too many large submissions');
    seventh.widenFor(1_000);
  });

  it('is always there for one', async () => {
    const { writer } = start();
    const [one, other] = [work(), work()];
    writer.reserve(100 * MIB, one.promise);
    expect(() => writer.reserve(1, other.promise)).toThrow('too many large submissions');
    one.end();
    await turnOfTheLoop();
    writer.reserve(100 * MIB, other.promise);
  });
});
