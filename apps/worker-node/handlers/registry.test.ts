import { describe, expect, it } from 'vitest';
import type { Json } from '../../../libs/core/task.ts';
import { PermanentFailure, RetryLater, Type, defineHandler } from '../../../libs/handlers/index.ts';
import type { AnyHandler } from '../../../libs/handlers/index.ts';
import { keptLog } from '../../../libs/testing/kept-log.ts';
import { ManualClock } from '../../../libs/testing/manual-clock.ts';
import { AttemptContext } from '../attempt-context.ts';
import { runnable } from './registry.ts';
import { MAX_RESULT_BYTES } from './result.ts';

const context = () =>
  new AttemptContext(
    {
      ...{ id: 7, name: 'sum', partition: 3, epoch: 2, incarnation: 'i', record: 9, attempt: 4, failures: 3 },
      ...{
        policy: null,
        priority: 0,
        serial: false,
        scheduledAtMs: 1_000,
        dueAtMs: 2_000,
        claimedAtMs: 2_001,
      },
    },
    new AbortController(),
    { logger: keptLog().logger, clock: new ManualClock(), progressed: () => undefined },
  );
const run = (handler: AnyHandler, payload: Json = null) => runnable(handler).run(payload, context());
const returning = (result: unknown) => run(defineHandler({ name: 'x', run: () => result }));

describe('a handler', () => {
  it('is given its task and what it may need besides', async () => {
    const handler = defineHandler({
      name: 'sum',
      payload: Type.Object({ terms: Type.Array(Type.Number()) }),
      run: ({ id, name, payload, scheduledTime }, { attempt, fencingToken, idempotencyKey, signal }) => ({
        ...{ id, name, scheduledTime, attempt, fencingToken, idempotencyKey, aborted: signal.aborted },
        sum: payload.terms.reduce((a, b) => a + b),
      }),
    });
    const result = await run(handler, { terms: [1, 2, 3] });
    expect(JSON.parse(result as string)).toEqual({
      ...{ id: 7, name: 'sum', scheduledTime: '1970-01-01T00:00:01.000Z', attempt: 4, aborted: false },
      ...{ fencingToken: { epoch: 2, attempt: 4, claim: 9 }, idempotencyKey: 'task-7', sum: 6 },
    });
  });

  it('is not called for a payload of another shape, whose attempt fails for good, saying where', async () => {
    let calls = 0;
    const handler = defineHandler({
      name: 'x',
      payload: Type.Object({ to: Type.Object({ mail: Type.String() }) }),
      run: () => (calls += 1),
    }) as unknown as AnyHandler;
    await expect(run(handler, { to: { mail: 5 } })).rejects.toThrow(
      new PermanentFailure('payload/to/mail must be string'),
    );
    await expect(run(handler, {})).rejects.toThrow(PermanentFailure);
    expect(calls).toBe(0);
    await run(handler, { to: { mail: 'a@b.c' } });
    expect(calls).toBe(1);
  });

  it.each([
    [undefined, null],
    [null, 'null'],
    [0, '0'],
    [{ at: new Date(0), gone: undefined }, '{"at":"1970-01-01T00:00:00.000Z"}'],
    ['x'.repeat(MAX_RESULT_BYTES - 2), `"${'x'.repeat(MAX_RESULT_BYTES - 2)}"`],
  ])('may return %j', async (result, text) => {
    expect(await returning(result)).toBe(text);
  });

  it.each([
    ['what is no JSON', 1n, 'the result is no JSON'],
    ['a function', () => 1, 'the result is no JSON'],
    ['too much', 'x'.repeat(MAX_RESULT_BYTES), 'the result is 65538 bytes of JSON, over the limit of 65536'],
    ['what cannot be stored', { a: ['\0'] }, 'the result/a/0 must not contain the character NUL'],
  ])('that returns %s has failed for good', async (_, result, message) => {
    await expect(returning(result)).rejects.toThrow(PermanentFailure);
    await expect(returning(result)).rejects.toThrow(message);
  });
});

describe('a definition', () => {
  it.each([
    [{ name: '' }, 'name must be a string of 1 to 200 characters'],
    [{ name: 'x'.repeat(201) }, 'name must be a string of 1 to 200 characters'],
    [{ run: 5 }, 'run must be a function'],
    [{ timeoutMs: 0.5 }, 'timeoutMs must be a whole number from 1 to 2147483647'],
    [{ isolation: 'process' }, `isolation must be 'thread'`],
    [{ concurrency: 0 }, 'concurrency must be a whole number from 1 to 9007199254740991'],
  ])('%j is none', (wrong, message) => {
    const definition = { name: 'x', run: () => undefined, ...wrong } as unknown as AnyHandler;
    expect(() => defineHandler(definition)).toThrow(new TypeError(message));
  });

  it('of when to try again names a time', () => {
    expect(new RetryLater({ afterMs: 5 }).afterMs).toBe(5);
    expect(new RetryLater({ afterMs: 0 }).afterMs).toBe(0);
  });

  it.each([
    [-1],
    [NaN],
    [Infinity],
    [366 * 86_400_000],
    [null],
    [''],
    ['5'],
    [true],
    [[]],
    [[5]],
    [undefined],
  ])('of when to try again is no time: %j', (afterMs) => {
    expect(() => new RetryLater({ afterMs: afterMs as number })).toThrow(RangeError);
  });
});
