import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { ClusterUnderTest } from './cluster-under-test.ts';

const ROUNDS = 20;
const MEDIAN_MS = 100;
const WITHIN = { withinMs: 10_000, everyMs: 5 };

/** It runs until its signal is aborted, and says so itself. */
const waiting = (name: string, isolation: string) => `
  import { defineHandler } from 'partitioned-task-scheduler/handlers';
  export default defineHandler({ name: '${name}', ${isolation} run: (_, { signal, log }) => new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => { log.info('told'); reject(signal.reason); });
    log.info('waiting');
  }) });`;

describe('what is there, in an idle cluster,', () => {
  let directory: string;
  let cluster: ClusterUnderTest;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'handlers-'));
    await writeFile(join(directory, 'waiting.ts'), waiting('waiting', ''));
    await writeFile(
      join(directory, 'waiting-in-a-thread.ts'),
      waiting('waiting-in-a-thread', `isolation: 'thread',`),
    );
    cluster = await ClusterUnderTest.start({ workers: 2, env: { HANDLERS_DIR: directory } });
  });
  afterAll(async () => {
    await cluster.stop();
    await rm(directory, { recursive: true, force: true });
  });

  /** When the handler of a task said so. */
  const said = (id: number, what: 'waiting' | 'told', attempt = 1) =>
    eventually(
      `the handler of task ${id}, attempt ${attempt}, says: ${what}`,
      () =>
        [...cluster.apps.values()]
          .flatMap(({ lines }) => lines)
          .find(({ msg, fields }) => msg === what && fields['taskId'] === id && fields['attempt'] === attempt)
          ?.timeMs,
      WITHIN,
    );
  const cancel = (id: number) => cluster.request(`/tasks/${id}/cancel`, { method: 'POST' });

  it.each([
    ['cancelled', 'waiting', cancel],
    ['deleted', 'waiting', (id: number) => cluster.request(`/tasks/${id}`, { method: 'DELETE' })],
    ['cancelled', 'waiting-in-a-thread', cancel],
  ])(`tells its handler within ${MEDIAN_MS} ms when it is %s: %s`, async (_, name, end) => {
    const tookMs: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const { id } = await cluster.submit({ name });
      await said(id, 'waiting');
      const askedMs = Date.now();
      expect((await end(id)).status).toBe(202);
      tookMs.push((await said(id, 'told')) - askedMs);
    }
    const median = tookMs.sort((a, b) => a - b)[ROUNDS / 2] ?? Infinity;
    console.log(`median ${median} ms, at most ${tookMs.at(-1)} ms`);
    expect(median).toBeLessThan(MEDIAN_MS);
  });

  it('is changed, run now, cancelled, retried and told of over HTTP', async () => {
    const { id } = await cluster.submit({ name: 'waiting', delay: 'P1D', payload: 1 });
    const get = () => cluster.request(`/tasks/${id}`);
    const patch = (body: object, ifMatch: string) =>
      cluster.request(`/tasks/${id}`, {
        method: 'PATCH',
        headers: { 'content-type': 'application/json', 'if-match': ifMatch },
        body: JSON.stringify(body),
      });
    const post = (what: string) => cluster.request(`/tasks/${id}/${what}`, { method: 'POST' });
    const ended = (status: string) =>
      eventually(`it is ${status}`, async () => (await cluster.task(id)).status === status, WITHIN);

    const first = (await get()).headers.get('etag') ?? '';
    const changed = await patch({ priority: 7, payload: 2 }, first);
    expect(await changed.json()).toMatchObject({ status: 'PENDING', priority: 7, payload: 2 });
    const second = changed.headers.get('etag') ?? '';
    expect(second).not.toBe(first);
    expect((await patch({ payload: 3 }, first)).status).toBe(412);
    expect((await post('retry')).status).toBe(409);

    expect((await post('run')).status).toBe(200);
    await said(id, 'waiting');
    expect((await patch({ payload: 3 }, '*')).status).toBe(409);
    expect((await post('cancel')).status).toBe(202);
    await ended('CANCELLED');

    expect((await post('retry')).status).toBe(200);
    await said(id, 'waiting', 2);
    expect((await post('cancel')).status).toBe(202);
    await ended('CANCELLED');
    expect(await (await get()).json()).toMatchObject({ payload: 2, attempt: 2 });
    const { attempts } = (await (await cluster.request(`/tasks/${id}/attempts`)).json()) as {
      attempts: { attempt: number; workerId: string; endedAt: string }[];
    };
    expect(attempts.map(({ attempt }) => attempt)).toEqual([2, 1]);
    for (const { workerId, endedAt } of attempts) {
      expect(workerId).toMatch(/^worker-[12]$/);
      expect(Date.parse(endedAt)).not.toBeNaN();
    }
    expect((await cluster.request(`/tasks/${id}`, { method: 'DELETE' })).status).toBe(204);
    expect((await get()).status).toBe(404);
  });
});
