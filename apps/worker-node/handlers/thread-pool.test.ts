import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Json } from '../../../libs/core/task.ts';
import type { TaskProgress } from '../../../libs/db/stores.ts';
import { AttemptAbortedError, PermanentFailure, RetryLater } from '../../../libs/handlers/index.ts';
import { eventually } from '../../../libs/testing/eventually.ts';
import { keptLog } from '../../../libs/testing/kept-log.ts';
import { ManualClock } from '../../../libs/testing/manual-clock.ts';
import { AttemptContext } from '../attempt-context.ts';
import { GIVE_UP_MS } from '../attempt-end.ts';
import { ThreadPool, TIMEOUT_GRACE_MS } from './thread-pool.ts';

vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

const HANDLERS = new URL('../../../libs/handlers/index.ts', import.meta.url).href;
const ABORTED = new AttemptAbortedError('timeout');

describe('a handler in threads', () => {
  let directory: string;
  let clock: ManualClock;
  let log: ReturnType<typeof keptLog>;
  let progress: TaskProgress[];
  let pool: ThreadPool;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'threads-'));
    await writeFile(join(directory, 'package.json'), '{"type":"module"}');
    clock = new ManualClock();
    log = keptLog();
    progress = [];
  });
  afterEach(async () => {
    await pool.close();
    await rm(directory, { recursive: true });
  });

  /** @param run the function's text, which sees `Exported`, all that libs/handlers exports */
  async function handles(run: string, options: { size?: number; maxHeapMb?: number } = {}): Promise<void> {
    const file = join(directory, 'handler.ts');
    await writeFile(
      file,
      `import * as Exported from '${HANDLERS}';
       let calls: number = 0;
       export default Exported.defineHandler({ name: 'x', isolation: 'thread', run: ${run} });`,
    );
    pool = new ThreadPool({ file, name: 'x', clock, logger: log.logger, ...options });
  }

  function attempt(payload: Json = null, abort = new AbortController()) {
    const context = new AttemptContext(
      { id: 7, name: 'x', partition: 3, epoch: 2, record: 9, attempt: 4, scheduledAtMs: 1_000 },
      abort,
      { logger: log.logger, clock, progressed: (_, news) => progress.push(news) },
    );
    const ended = pool.take().then((ready) => ready.run(payload, context));
    ended.catch(() => undefined);
    return { abort, ended };
  }
  const result = async (payload: Json = null): Promise<unknown> =>
    JSON.parse((await attempt(payload).ended) as string);
  const failure = (payload: Json = null): Promise<unknown> =>
    attempt(payload).ended.then(
      () => 'none',
      (error: unknown) => error,
    );

  it('is given its task, and what it may need besides', async () => {
    await handles(
      `({ id, name, payload, scheduledTime }, { attempt, fencingToken, idempotencyKey, signal }) =>
         ({ id, name, payload, scheduledTime, attempt, fencingToken, idempotencyKey, aborted: signal.aborted })`,
    );
    expect(await result({ a: [1] })).toEqual({
      ...{ id: 7, name: 'x', payload: { a: [1] }, scheduledTime: '1970-01-01T00:00:01.000Z', attempt: 4 },
      ...{ fencingToken: { epoch: 2, attempt: 4, claim: 9 }, idempotencyKey: 'task-7', aborted: false },
    });
  });

  it('runs attempts one after another in one thread, and at a time in several', async () => {
    await handles(`async ({ payload }, { sleep }) => { await sleep(payload); return (calls += 1); }`, {
      size: 2,
    });
    expect([await result(0), await result(0)]).toEqual([1, 2]);
    expect(pool.started).toBe(1);
    expect((await Promise.all([result(200), result(200)])).sort()).toEqual([1, 3]);
    expect(pool.started).toBe(2);
  });

  it('logs by the worker, and says how far it has got', async () => {
    await handles(
      `(task, { log, progress }) => {
         log.child({ step: 'a' }).warn({ n: 5 }, 'half way');
         log.debug('not asked for');
         progress(0.5, 'half');
         progress(0.5, 'half');
         progress(1);
       }`,
    );
    expect(await attempt().ended).toBe(null);
    expect(log.lines).toEqual([
      {
        ...{ level: 'warn', taskId: 7, taskName: 'x', partition: 3, attempt: 4 },
        ...{ step: 'a', n: 5, msg: 'half way' },
      },
    ]);
    expect(progress).toEqual([
      { done: 0.5, note: 'half' },
      { done: 1, note: null },
    ]);
  });

  it('throws across: what is to be tried again later, what will never succeed, and anything else', async () => {
    await handles(
      `({ payload }) => {
         if (payload === 'later') throw new Exported.RetryLater({ afterMs: 5 });
         if (payload === 'never') throw new Exported.PermanentFailure('gone');
         if (payload === 'text') throw 'just so';
         throw Object.assign(new TypeError('no such thing'), { name: 'Odd' });
       }`,
    );
    const later = await failure('later');
    expect(later).toBeInstanceOf(RetryLater);
    expect(later).toMatchObject({ afterMs: 5 });
    expect(await failure('never')).toBeInstanceOf(PermanentFailure);
    expect(await failure('never')).toMatchObject({ name: 'PermanentFailure', message: 'gone' });
    expect(await failure('text')).toMatchObject({ name: 'string', message: 'just so', stack: undefined });
    const odd = await failure();
    expect(odd).toMatchObject({ name: 'Odd', message: 'no such thing' });
    expect((odd as Error).stack).toContain('handler.ts');
    expect(pool.started).toBe(1);
  });

  it('has failed for good with a result that is none', async () => {
    await handles(`() => 1n`);
    const error = await failure();
    expect(error).toBeInstanceOf(PermanentFailure);
    expect(error).toMatchObject({ message: expect.stringContaining('the result is no JSON') as string });
  });

  it('is told when its attempt is aborted, and why', async () => {
    await handles(
      `(task, { signal, progress }) => new Promise((resolve) => {
         signal.addEventListener('abort', () => resolve([signal.reason.name, signal.reason.reason]));
         progress(0);
       })`,
    );
    const { abort, ended } = attempt();
    await eventually('it runs', () => progress.length > 0, { withinMs: 10_000 });
    abort.abort(ABORTED);
    expect(JSON.parse((await ended) as string)).toEqual(['AttemptAbortedError', 'timeout']);
    expect(clock.pending).toBe(1); // The idle thread's end, and no kill.
  });

  it.each([
    ['timeout', TIMEOUT_GRACE_MS],
    ['cancelled', GIVE_UP_MS],
    ['lost', GIVE_UP_MS],
  ] as const)('is ended where it does not heed %s, and another takes its place', async (reason, graceMs) => {
    await handles(
      `({ payload }, { progress }) => { progress(0); while (payload === 'busy'); return calls; }`,
      {
        size: 1,
      },
    );
    const { abort, ended } = attempt('busy');
    await eventually('it runs', () => progress.length > 0, { withinMs: 10_000 });
    const aborted = new AttemptAbortedError(reason);
    abort.abort(aborted);
    await clock.advance(graceMs - 1);
    expect(log.said).toEqual([]);
    await clock.advance(1);
    await expect(ended).rejects.toBe(aborted);
    expect(log.said).toContain('Event does not heed its signal: ending its thread');
    expect(await result('idle')).toBe(0);
  });

  it('is not called where its attempt was aborted while a thread was started for it', async () => {
    await handles(`() => (calls += 1)`);
    const { abort, ended } = attempt();
    abort.abort(ABORTED);
    await expect(ended).rejects.toBe(ABORTED);
    expect(await result()).toBe(1);
  });

  it.each([
    ['ends its thread', 'process.exit(3)', 'its thread ended by itself, with exit code 3'],
    [
      'throws in nobody’s turn',
      `setTimeout(() => { throw new Error('boom'); })`,
      'its thread has died: boom',
    ],
    ['rejects what nobody awaits', `void Promise.reject(new Error('bang'))`, 'its thread has died: bang'],
    [
      'takes all memory',
      'const all = []; for (;;) all.push(new Array(1000).fill({}))',
      'its thread needs more than 64 MB of memory',
    ],
  ])('fails where it %s, and another thread takes its place', async (_, deed, message) => {
    await handles(
      `async ({ payload }, { sleep }) => { if (payload !== 'good') { ${deed}; await sleep(20_000); } return 'fine'; }`,
      { size: 1, maxHeapMb: 64 },
    );
    const error = await failure();
    expect(error).toMatchObject({ name: 'HandlerThreadError', message });
    if (message.includes('boom')) expect((error as Error).stack).toContain('handler.ts');
    expect(await result('good')).toBe('fine');
  });

  it('fails where its module does not load any more', async () => {
    await handles('() => undefined');
    await writeFile(join(directory, 'handler.ts'), `throw new Error('no licence');`);
    expect(await failure()).toMatchObject({
      message: expect.stringMatching(
        /its thread has died: .*handler.ts cannot be loaded: no licence/,
      ) as string,
    });
    await handles('() => undefined');
    await writeFile(
      join(directory, 'handler.ts'),
      `import { defineHandler } from '${HANDLERS}'; export default defineHandler({ name: 'y', run() {} });`,
    );
    expect(await failure()).toMatchObject({
      message: `its thread has died: it handles tasks named 'y' by now, and no longer 'x'`,
    });
  });

  it('has idle threads for a minute', async () => {
    await handles('() => 1', { size: 1 });
    await result();
    await clock.advance(59_999);
    expect(pool.started).toBe(1);
    await clock.advance(1);
    // While the one is ending, it keeps its place.
    expect(await result()).toBe(1);
    expect(pool.started).toBe(1);
  });

  it('ends with its worker, whatever it does', async () => {
    await handles(`(task, { progress }) => { progress(0); for (;;); }`);
    const { ended } = attempt();
    await eventually('it runs', () => progress.length > 0, { withinMs: 10_000 });
    await pool.close();
    await expect(ended).rejects.toMatchObject({ name: 'AttemptAbortedError', reason: 'stopping' });
    expect(pool.started).toBe(0);
    await expect(attempt().ended).rejects.toMatchObject({ reason: 'stopping' });
  });

  it('that logs without end neither fills the worker’s memory nor holds it up', async () => {
    await handles(`(task, { log }) => { for (let n = 1; ; n++) log.info({ n }, 'again'); }`);
    const { abort, ended } = attempt();
    await eventually('lines are left out', () => log.said.some((said) => said.includes('left out')), {
      withinMs: 10_000,
    });
    abort.abort(ABORTED);
    await clock.advance(TIMEOUT_GRACE_MS);
    await expect(ended).rejects.toBe(ABORTED);
  });
});
