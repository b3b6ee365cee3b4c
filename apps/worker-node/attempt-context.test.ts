import { describe, expect, it } from 'vitest';
import type { TaskProgress } from '../../libs/db/stores.ts';
import { AttemptAbortedError } from '../../libs/handlers/index.ts';
import { keptLog } from '../../libs/testing/kept-log.ts';
import { ManualClock } from '../../libs/testing/manual-clock.ts';
import { AttemptContext } from './attempt-context.ts';

function open() {
  const said: TaskProgress[] = [];
  const clock = new ManualClock();
  const abort = new AbortController();
  const context = new AttemptContext(
    { id: 7, name: 'x', partition: 3, epoch: 2, record: 9, attempt: 4, scheduledAtMs: 1_000 },
    abort,
    { logger: keptLog().logger, clock, progressed: (_, progress) => said.push(progress) },
  );
  return { context, said, clock, abort };
}

describe('progress', () => {
  it('is told where it is news', () => {
    const { context, said } = open();
    const { progress } = context;
    progress(0);
    progress(-0);
    progress(0, 'started');
    context.progress(0, 'started');
    progress(1);
    expect(said).toEqual([
      { done: 0, note: null },
      { done: 0, note: 'started' },
      { done: 1, note: null },
    ]);
  });

  it('has a short note', () => {
    const { context, said } = open();
    context.progress(0.5, 'x'.repeat(201));
    expect(said).toEqual([{ done: 0.5, note: 'x'.repeat(200) }]);
  });

  it.each([
    [1.01, undefined, new RangeError('done must be from 0 to 1')],
    [-0.01, undefined, new RangeError('done must be from 0 to 1')],
    [NaN, undefined, new RangeError('done must be from 0 to 1')],
    ['1', undefined, new TypeError('done must be a number')],
    [1, 5, new TypeError('note must be a string')],
  ])('%j with the note %j is none', (done, note, error) => {
    const { context, said } = open();
    expect(() => context.progress(done as number, note as unknown as string)).toThrow(error);
    expect(said).toEqual([]);
  });
});

describe('sleep', () => {
  it('takes its time', async () => {
    const { context, clock } = open();
    let woke = false;
    const { sleep } = context;
    const sleeping = sleep(1_000).then(() => (woke = true));
    await clock.advance(999);
    expect(woke).toBe(false);
    await clock.advance(1);
    expect(woke).toBe(true);
    await sleeping;
  });

  it('ends with the attempt', async () => {
    const { context, clock, abort } = open();
    const reason = new AttemptAbortedError('cancelled');
    const sleeping = context.sleep(1_000);
    abort.abort(reason);
    await expect(sleeping).rejects.toBe(reason);
    await expect(context.sleep(0)).rejects.toBe(reason);
    expect(clock.pending).toBe(0);
  });

  it.each([-1, NaN, 2 ** 31])('for %d ms is refused', async (ms) => {
    await expect(open().context.sleep(ms)).rejects.toThrow(RangeError);
  });
});
