import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { ClusterUnderTest } from './cluster-under-test.ts';

const REPOSITORY = resolve(import.meta.dirname, '../..');

/** It starts two things that end with its signal, and awaits one after the other. */
const stray = (name: string, isolation: string) => `
  import { defineHandler } from 'partitioned-task-scheduler/handlers';
  const until = (signal: AbortSignal, what: string) => new Promise<void>((_, reject) =>
    signal.addEventListener('abort', () => reject(new Error(what + ' was aborted'))));
  export default defineHandler({ name: '${name}', ${isolation} timeoutMs: 100, async run(_, { signal }) {
    const [first, second] = [until(signal, 'the first'), until(signal, 'the second')];
    await first; await second;
  } });`;

const LATER = `
  import { defineHandler } from 'partitioned-task-scheduler/handlers';
  export default defineHandler({ name: 'later', run: () => 1 });`;

describe('handlers of one’s own', () => {
  let directory: string;
  let cluster: ClusterUnderTest;
  let readme: string;
  beforeAll(async () => {
    readme = await readFile(join(REPOSITORY, 'README.md'), 'utf8');
    directory = await mkdtemp(join(tmpdir(), 'handlers-'));
    const [, module = ''] = /`handlers\/greet\.ts`[^]*?^```\n([^]*?)^```$/m.exec(readme) ?? [];
    await writeFile(join(directory, 'greet.ts'), module);
    for (const [name, isolation] of [
      ['stray', ''],
      ['stray-in-a-thread', `isolation: 'thread',`],
    ] as const)
      await writeFile(join(directory, `${name}.ts`), stray(name, isolation));
    cluster = await ClusterUnderTest.start({ workers: 1, env: { HANDLERS_DIR: directory } });
  });
  afterAll(async () => {
    await cluster.stop();
    await rm(directory, { recursive: true, force: true });
  });

  it('run as README.md shows a newcomer’s first, from the file to the result', async () => {
    const [, body = ''] = /-d '(\{"name":"greet".*?)'$/m.exec(readme) ?? [];
    const [, result = ''] = /"result":(.*)\}$/m.exec(readme) ?? [];
    const { id } = await cluster.submit(JSON.parse(body) as Record<string, unknown>);
    const task = await eventually(
      'it has completed',
      async () => {
        const read = (await cluster.task(id)) as unknown as { status: string; result: unknown };
        return read.status === 'COMPLETED' && read;
      },
      { withinMs: 10_000 },
    );
    expect(task.result).toBe(JSON.parse(result));
  });

  it('that do not load keep a worker from starting, which says why in one line', async () => {
    const broken = await mkdtemp(join(tmpdir(), 'handlers-'));
    try {
      await writeFile(join(broken, 'broken.ts'), 'export default 1;');
      const worker = cluster.startWorker('broken', { HANDLERS_DIR: broken });
      expect(await worker.exit()).toBe(1);
      expect(worker.transcript()).toContain('broken.ts has no default export made by defineHandler()');
    } finally {
      await rm(broken, { recursive: true, force: true });
    }
  });

  it('that leave a promise to nobody end the worker, which says by which error; or, in a thread, only their attempt', async () => {
    const { id } = await cluster.submit({ name: 'stray-in-a-thread', maxAttempts: 1 });
    expect(await cluster.ended(id, 20_000)).toMatchObject({ status: 'FAILED', attempt: 1 });
    const worker = cluster.app('worker-1');
    expect(worker.running).toBe(true);
    const { id: strayId } = await cluster.submit({ name: 'stray' });
    expect(await worker.exit()).toBe(1);
    const last = worker.lines.filter(({ level }) => level === 'fatal');
    expect(last).toMatchObject([
      { msg: 'unexpected fault: ending', fields: { err: { message: 'the second was aborted' } } },
    ]);
    expect(JSON.stringify(last)).toContain('stray.ts');
    // Or the next worker would run it.
    await cluster.request(`/tasks/${strayId}`, { method: 'DELETE' });
  });

  it('that a worker lacks let their tasks wait where DEFAULT_HANDLER is none, until their partitions are given to one that has them', async () => {
    const lacking = cluster.startWorker('lacking', { DEFAULT_HANDLER: 'none' });
    const [unknown, known] = [
      await cluster.submit({ name: 'later' }),
      await cluster.submit({ name: 'demo' }),
    ];
    expect(await cluster.ended(known.id, 20_000)).toMatchObject({ status: 'COMPLETED', workerId: 'lacking' });
    await cluster.balanced(1);
    const second = await cluster.submitToPartition(unknown.partitionId, { name: 'demo' });
    expect(await cluster.ended(second.id, 10_000)).toMatchObject({ status: 'COMPLETED' });
    expect(await cluster.task(unknown.id)).toMatchObject({ status: 'PENDING', attempt: 0 });
    await writeFile(join(directory, 'later.ts'), LATER);
    cluster.startWorker('having', { DEFAULT_HANDLER: 'none', WORKER_TAGS: 'with-later' });
    await cluster.administer('require-tag', 'with-later');
    expect(await cluster.ended(unknown.id, 20_000)).toMatchObject({
      status: 'COMPLETED',
      attempt: 1,
      workerId: 'having',
      result: 1,
    });
    expect(lacking.running).toBe(true);
  });
});
