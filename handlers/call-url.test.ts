import { testHandler } from 'partitioned-task-scheduler/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import handler from './call-url.ts';

const url = 'https://example.com/hook';

describe('call-url', () => {
  const call = vi.fn<typeof fetch>();
  beforeEach(() => vi.stubGlobal('fetch', call));
  afterEach(() => {
    vi.unstubAllGlobals();
    call.mockReset();
  });

  const answering = (status: number, headers: Record<string, string> = {}) =>
    call.mockResolvedValue(new Response(null, { status, headers }));

  it('sends its request, which every attempt names alike', async () => {
    answering(202);
    const run = testHandler(handler, { id: 7, attempt: 2, payload: { url, body: { id: 7 } } });
    expect(await run.ended).toEqual({ status: 'COMPLETED', result: { status: 202 } });
    expect(call.mock.calls).toMatchObject([
      [url, { method: 'POST', body: '{"id":7}', headers: { 'idempotency-key': 'task-7' } }],
    ]);
    expect(run.logs).toMatchObject([{ level: 'info', msg: 'Called', status: 202, attempt: 2 }]);
  });

  it('comes again when it is asked to', async () => {
    answering(429, { 'retry-after': '7' });
    const run = testHandler(handler, { payload: { url } });
    expect(await run.ended).toEqual({
      ...{ status: 'PENDING', retryInMs: { least: 7_000, most: 7_000 }, error: null },
    });
  });

  it('tries again what the other side could not do, as often as its task says', async () => {
    answering(500);
    const first = testHandler(handler, { payload: { url } });
    expect(await first.ended).toMatchObject({ status: 'PENDING', retryInMs: { least: 0, most: 1_000 } });
    const fifth = testHandler(handler, { payload: { url }, attempt: 5 });
    expect(await fifth.ended).toMatchObject({ status: 'FAILED', error: { message: `${url} answered 500` } });
  });

  it('does not try again what will never be taken', async () => {
    answering(404);
    const run = testHandler(handler, { payload: { url } });
    expect(await run.ended).toMatchObject({ status: 'FAILED', error: { name: 'PermanentFailure' } });
  });

  it('waits half a minute for an answer', async () => {
    call.mockImplementation(
      (_, init) =>
        new Promise((_resolve, reject) => {
          init?.signal?.addEventListener('abort', () => reject(init.signal?.reason as Error));
        }),
    );
    const run = testHandler(handler, { payload: { url } });
    await run.advance(29_999);
    expect(run.outcome).toBeUndefined();
    await run.advance(1);
    expect(run.outcome).toMatchObject({
      ...{ status: 'PENDING', error: { message: 'it took longer than its task allows' } },
    });
  });
});
