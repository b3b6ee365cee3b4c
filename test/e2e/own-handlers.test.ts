import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { ClusterUnderTest } from './cluster-under-test.ts';

const REPOSITORY = resolve(import.meta.dirname, '../..');

describe('handlers of one’s own', () => {
  let directory: string;
  let cluster: ClusterUnderTest;
  let readme: string;
  beforeAll(async () => {
    readme = await readFile(join(REPOSITORY, 'README.md'), 'utf8');
    // Within the package, whose name its handlers import from.
    await mkdir(join(REPOSITORY, '.data'), { recursive: true });
    directory = await mkdtemp(join(REPOSITORY, '.data', 'handlers-'));
    const [, module = ''] = /^\$ cat > handlers\/greet\.ts\n([^]*?)^\$ /m.exec(readme) ?? [];
    await writeFile(join(directory, 'greet.ts'), module);
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
    const broken = await mkdtemp(join(REPOSITORY, '.data', 'handlers-'));
    try {
      await writeFile(join(broken, 'broken.ts'), 'export default 1;');
      const worker = cluster.startWorker('broken', { HANDLERS_DIR: broken });
      expect(await worker.exit()).toBe(1);
      expect(worker.transcript()).toContain('broken.ts has no default export made by defineHandler()');
    } finally {
      await rm(broken, { recursive: true, force: true });
    }
  });
});
