import { expect, it } from 'vitest';
import * as own from '../../libs/handlers/index.ts';
import { endOfThrown } from './attempt-end.ts';
import { fromThrown, toThrown } from './handlers/thread-messages.ts';

const COPY: string = '../../libs/handlers/index.ts?another-copy';
const TASK = { failures: 0, policy: null };
const RANDOM = { next: () => 0 };

it('an error of another copy of the package is taken at its word', async () => {
  const copy = (await import(COPY)) as typeof own;
  const [later, forGood] = [new copy.RetryLater({ afterMs: 7 }), new copy.PermanentFailure('no')];
  expect([later instanceof own.RetryLater, forGood instanceof own.PermanentFailure]).toEqual([false, false]);
  // As it is, and from a thread.
  for (const cross of [(error: Error) => error, (error: Error) => fromThrown(toThrown(error))]) {
    expect(endOfThrown(cross(later), TASK, RANDOM)).toEqual({ kind: 'HANDED_BACK', delayMs: 7 });
    expect(endOfThrown(cross(forGood), TASK, RANDOM)).toMatchObject({
      ...{ kind: 'FAILED', error: { message: 'no' } },
    });
  }
  for (const thrown of [new Error('x'), null, 'RetryLater'])
    expect(endOfThrown(thrown, TASK, RANDOM)).toMatchObject({ kind: 'RETRY' });
});
