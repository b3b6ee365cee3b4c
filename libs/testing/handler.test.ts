import { describe, expect, it } from 'vitest';
import type { Json } from '../core/task.ts';
import { PermanentFailure, RetryLater, Type, defineHandler } from '../handlers/index.ts';
import type { HandledTask, HandlerContext } from '../handlers/index.ts';
import { testHandler } from './handler.ts';

const doing = (run: (task: HandledTask<Json>, context: HandlerContext) => unknown, timeoutMs?: number) =>
  defineHandler({ name: 'x', run, ...(timeoutMs !== undefined && { timeoutMs }) });
const throwing = (error: unknown) =>
  doing(() => {
    throw error;
  });
const NEVER = new Promise(() => undefined);

describe('a handler under test', () => {
  it('completes its task with what it returns, as JSON', async () => {
    const run = testHandler(doing(() => ({ at: new Date(0), none: undefined })));
    await run.advance(0);
    expect(run.outcome).toEqual({ status: 'COMPLETED', result: { at: '1970-01-01T00:00:00.000Z' } });
    expect(run.result).toEqual({ at: '1970-01-01T00:00:00.000Z' });
    expect(await testHandler(doing(() => undefined)).ended).toEqual({ status: 'COMPLETED', result: null });
  });

  it('is given its task and its context', async () => {
    const scheduledTime = new Date(5_000);
    const handler = doing(({ id, name, payload, ...task }, { attempt, fencingToken, idempotencyKey }) => ({
      ...{ id, name, payload, attempt, fencingToken, idempotencyKey },
      scheduledTime: task.scheduledTime.getTime(),
    }));
    const given = { id: 7, payload: { gone: undefined, at: scheduledTime } as unknown as Json };
    expect(await testHandler(handler, { ...given, attempt: 3, scheduledTime }).ended).toMatchObject({
      result: {
        ...{ id: 7, name: 'x', payload: { at: '1970-01-01T00:00:05.000Z' }, attempt: 3 },
        ...{
          fencingToken: { epoch: 1, attempt: 3, claim: 3 },
          idempotencyKey: 'task-7',
          scheduledTime: 5_000,
        },
      },
    });
  });

  it('sleeps by the test’s time, and says how far it has got', async () => {
    const run = testHandler(
      doing(async (_, { sleep, progress, log }) => {
        progress(0.5, 'half');
        await sleep(3_600_000);
        log.info({ slept: true }, 'Awake');
        progress(1);
      }),
    );
    await run.advance(3_599_999);
    expect([run.outcome, run.result, run.progress, run.logs]).toEqual([
      ...[undefined, undefined, { done: 0.5, note: 'half' }, []],
    ]);
    await run.advance(1);
    expect(run.outcome).toMatchObject({ status: 'COMPLETED' });
    expect(run.progress).toEqual({ done: 1, note: null });
    expect(run.logs).toEqual([
      {
        ...{ level: 'info', taskId: 1, taskName: 'x', partition: 0, attempt: 1 },
        ...{ slept: true, msg: 'Awake' },
      },
    ]);
  });

  it('is not called with a payload of another shape', async () => {
    let calls = 0;
    const handler = defineHandler({
      ...{ name: 'x', payload: Type.Object({ to: Type.String() }) },
      run: () => (calls += 1),
    });
    expect(await testHandler(handler, { payload: { to: 5 } as never }).ended).toMatchObject({
      ...{ status: 'FAILED', error: { name: 'PermanentFailure', message: 'payload/to must be string' } },
    });
    expect(calls).toBe(0);
    expect(await testHandler(handler, { payload: { to: 'a' } }).ended).toEqual({
      status: 'COMPLETED',
      result: 1,
    });
  });

  it('has failed for good with a result that is none', async () => {
    expect(await testHandler(doing(() => 1n)).ended).toMatchObject({ status: 'FAILED' });
  });

  it('that throws is tried again within the bounds of its task’s backoff', async () => {
    const error = new TypeError('no such thing');
    expect(await testHandler(throwing(error)).ended).toEqual({
      status: 'PENDING',
      retryInMs: { least: 0, most: 1_000 },
      error: { name: 'TypeError', message: 'no such thing', stack: error.stack },
    });
    const policy = { backoff: { baseMs: 10, maxMs: 100_000, factor: 3 } };
    expect(await testHandler(throwing(error), { attempt: 3, policy }).ended).toMatchObject({
      retryInMs: { least: 0, most: 90 },
    });
    expect(await testHandler(throwing(error), { attempt: 3, failures: 0, policy }).ended).toMatchObject({
      retryInMs: { least: 0, most: 10 },
    });
  });

  it('that throws has failed with the last of its attempts', async () => {
    const policy = { maxAttempts: 2 };
    expect(await testHandler(throwing('just so'), { attempt: 1, policy }).ended).toMatchObject({
      status: 'PENDING',
    });
    expect(await testHandler(throwing('just so'), { attempt: 2, policy }).ended).toEqual({
      status: 'FAILED',
      error: { name: 'string', message: 'just so' },
    });
  });

  it('is taken at its word: not sooner, or never', async () => {
    expect(await testHandler(throwing(new RetryLater({ afterMs: 5 })), { attempt: 5 }).ended).toEqual({
      ...{ status: 'PENDING', retryInMs: { least: 5, most: 5 }, error: null },
    });
    expect(await testHandler(throwing(new PermanentFailure('gone'))).ended).toMatchObject({
      ...{ status: 'FAILED', error: { name: 'PermanentFailure', message: 'gone' } },
    });
  });

  describe('whose time is up', () => {
    const over = { message: 'it took longer than its task allows' };

    it('is told, and its task’s time stands before its own', async () => {
      const handler = doing((_, { sleep }) => sleep(10_000), 5_000);
      const run = testHandler(handler);
      await run.advance(4_999);
      expect(run.outcome).toBeUndefined();
      await run.advance(1);
      expect(run.outcome).toMatchObject({ status: 'PENDING', error: over });
      const short = testHandler(handler, { policy: { timeoutMs: 1 } });
      await short.advance(1);
      expect(short.outcome).toMatchObject({ status: 'PENDING', error: over });
    });

    it('is given up a second later where it does not heed that', async () => {
      const run = testHandler(
        doing(() => NEVER, 5_000),
        { policy: { maxAttempts: 1 } },
      );
      await run.advance(5_999);
      expect([run.signal.aborted, run.outcome]).toEqual([true, undefined]);
      await run.advance(1);
      expect(run.outcome).toMatchObject({ status: 'FAILED', error: over });
    });

    it('has failed though it returns', async () => {
      const run = testHandler(
        doing(async (_, { sleep }) => sleep(10_000).catch(() => 'all the same'), 5_000),
      );
      await run.advance(5_000);
      expect(run.outcome).toMatchObject({ status: 'PENDING', error: over });
    });
  });

  describe('whose task is cancelled', () => {
    it('is told', async () => {
      const run = testHandler(doing((_, { sleep }) => sleep(10_000)));
      run.cancel();
      await run.advance(0);
      expect(run.outcome).toMatchObject({ status: 'CANCELLED', error: { message: 'cancelled by a user' } });
    });

    it('has completed where it returns nonetheless', async () => {
      const run = testHandler(doing(async (_, { sleep }) => sleep(10_000).catch(() => 'done')));
      run.cancel();
      await run.advance(0);
      expect(run.outcome).toEqual({ status: 'COMPLETED', result: 'done' });
    });

    it('is given up a second later where it does neither', async () => {
      const run = testHandler(doing(() => NEVER));
      run.cancel();
      run.cancel();
      await run.advance(999);
      expect(run.outcome).toBeUndefined();
      await run.advance(1);
      expect(run.outcome).toEqual({ status: 'CANCELLED', error: null });
    });
  });
});
