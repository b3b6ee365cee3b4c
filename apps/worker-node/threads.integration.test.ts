/** Handlers in threads, as a worker runs them. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../libs/runtime/system.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import { keptLog } from '../../libs/testing/kept-log.ts';
import { loadHandlers } from './handlers/load.ts';
import { handlerRegistry } from './handlers/registry.ts';
import type { Registry } from './handlers/registry.ts';
import { TIMEOUT_GRACE_MS } from './handlers/thread-pool.ts';
import { Workbench } from './testing/worker-under-test.ts';

const HANDLERS = new URL('../../libs/handlers/index.ts', import.meta.url).href;
const TIMEOUT_MS = 1_000;
const ONCE = { policy: { maxAttempts: 1 } };

describe('a handler in a thread that computes without end', () => {
  let bench: Workbench;
  let directory: string;
  let registry: Registry;
  beforeEach(async () => {
    bench = await Workbench.open(4);
    directory = await mkdtemp(join(tmpdir(), 'threads-'));
    await writeFile(join(directory, 'package.json'), '{"type":"module"}');
    await writeFile(
      join(directory, 'busy.ts'),
      `import { Type, defineHandler } from '${HANDLERS}';
       export default defineHandler({
         name: 'busy', isolation: 'thread', concurrency: 1, timeoutMs: ${TIMEOUT_MS},
         payload: Type.Union([Type.String(), Type.Object({ of: Type.String() })]),
         run({ payload }, { progress }) { progress(0, 'computing'); for (; payload !== 'short';); return 'done'; },
       });`,
    );
    const own = (await loadHandlers(directory, false)).handlers.values();
    registry = handlerRegistry({ clock: systemClock, logger: keptLog().logger, own, others: 'log' });
  });
  afterEach(async () => {
    await bench.close();
    await registry.close();
    await rm(directory, { recursive: true });
  });

  const startWorker = () =>
    bench.startWorker({
      ...{ id: 'w1', partitions: [0, 1, 2, 3], graceMs: 0 },
      handlerFor: registry.handlerFor,
    });
  const computing = (id: number) =>
    eventually('it computes', async () => (await bench.tasks.get(id))?.progress?.note === 'computing', {
      withinMs: 10_000,
    });

  it('fails on time, while other tasks go on, and another thread takes its place', async () => {
    const { worker } = await startWorker();
    const { id } = await bench.submit('busy', ONCE);
    await computing(id);
    const startedAtMs = performance.now();
    let others = 0;
    let longestMs = 0;
    while ((await bench.tasks.get(id))?.status === 'RUNNING') {
      const sinceMs = performance.now();
      const { id: other } = await bench.submit('other');
      // No listener is there to tell it.
      worker.expectWork('*', -Infinity);
      expect(await bench.ended(other)).toMatchObject({ status: 'COMPLETED' });
      longestMs = Math.max(longestMs, performance.now() - sinceMs);
      others += 1;
    }
    expect(performance.now() - startedAtMs).toBeLessThan(TIMEOUT_MS + TIMEOUT_GRACE_MS + 700);
    expect(others).toBeGreaterThan(3);
    expect(longestMs).toBeLessThan(TIMEOUT_MS);
    expect(await bench.tasks.get(id)).toMatchObject({
      ...{ status: 'FAILED', lastError: 'it took longer than its task allows' },
    });
    const { id: next } = await bench.submit('busy', { payload: 'short' });
    expect(await bench.ended(next)).toMatchObject({ status: 'COMPLETED', result: 'done', attempt: 1 });
  });

  it('is not begun for a payload of another shape, whose task has failed for good', async () => {
    await startWorker();
    const { id } = await bench.submit('busy', { payload: 7 });
    expect(await bench.ended(id)).toMatchObject({
      ...{ status: 'FAILED', attempt: 1, progress: null },
      lastError: expect.stringMatching(/^payload /) as string,
    });
  });

  it('is ended when its task is cancelled', async () => {
    await startWorker();
    const { id } = await bench.submit('busy', { policy: { timeoutMs: 60_000 } });
    await computing(id);
    await bench.tasks.cancel(id);
    expect(await bench.ended(id)).toMatchObject({ status: 'CANCELLED', attempt: 1 });
    const { id: next } = await bench.submit('busy', { payload: 'short' });
    expect(await bench.ended(next)).toMatchObject({ status: 'COMPLETED' });
  });

  it('is ended with its worker, and its task handed back', async () => {
    await startWorker();
    const { id } = await bench.submit('busy', { policy: { timeoutMs: 60_000 } });
    await computing(id);
    await bench.stopWorkers();
    await registry.close();
    expect(await bench.tasks.get(id)).toMatchObject({ status: 'PENDING', attempt: 1, failures: 0 });
  });
});
