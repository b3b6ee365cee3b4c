import { testHandler } from 'partitioned-task-scheduler/testing';
import { describe, expect, it } from 'vitest';
import handler from './word-count.ts';

describe('word-count', () => {
  it('counts words, and how many are different', async () => {
    const run = testHandler(handler, { payload: { text: 'to be or not\n to be' } });
    await run.advance(0);
    expect(run.result).toEqual({ words: 6, different: 4 });
  });

  it('says how far it has got in a long text, and ends where its task is cancelled', async () => {
    const run = testHandler(handler, { payload: { text: 'word\n'.repeat(3_999) } });
    expect(run.progress).toEqual({ done: 0.25, note: 'line 1000 of 4000' });
    run.cancel();
    await run.advance(0);
    expect(run.progress).toMatchObject({ done: 0.25 });
    expect(run.outcome).toMatchObject({ status: 'CANCELLED', error: { message: 'cancelled by a user' } });
  });

  it('is not for what is no text', async () => {
    const run = testHandler(handler, { payload: { text: 5 } as never });
    await run.advance(0);
    expect(run.outcome).toMatchObject({
      status: 'FAILED',
      error: { message: 'payload/text must be string' },
    });
  });
});
