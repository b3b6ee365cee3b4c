import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { ApiClient } from './api-client.ts';
import { ComposeStack } from './compose-stack.ts';

const PARTITIONS = 64;
const UP = { withinMs: 120_000, everyMs: 250 };
const HANDLER = `
  import { defineHandler } from 'partitioned-task-scheduler/handlers';
  export default defineHandler({ name: 'mounted', run: () => ({ mounted: 42 }) });`;
const names = (phase: string) => Array.from({ length: 100 }, (_, index) => `${phase}-${index}`);

describe('the containers', () => {
  let stack: ComposeStack;
  let api: ApiClient;

  let handlers: string;

  beforeAll(async () => {
    handlers = await mkdtemp(join(tmpdir(), 'handlers-'));
    // For the user in the container.
    await chmod(handlers, 0o755);
    stack = await ComposeStack.create({
      ...{ project: 'scheduler-compose-test', files: ['docker-compose.yml'] },
      env: { HANDLERS_DIR: handlers },
    });
    api = new ApiClient(stack.url);
    await stack.down();
    await stack.run('up', '-d', '--build');
    await eventually('the API is ready', () => api.isReady(), UP);
  });
  afterAll(async () => {
    await stack.down();
    await rm(handlers, { recursive: true });
  });

  /** Resolves once `count` workers own all partitions, none of them over one more than another. */
  async function spreadOver(count: number): Promise<void> {
    await eventually(
      `the partitions are spread over ${count}`,
      async () => {
        const owners = await api.ownership();
        const loads = [...owners.values()];
        return !owners.has(null) && loads.length === count && Math.max(...loads) - Math.min(...loads) <= 1;
      },
      UP,
    );
  }

  it('handle 300 tasks while the workers become three and one again', async () => {
    await spreadOver(1);

    const [whileGrowing] = await Promise.all([api.submit(names('growing')), stack.scaleWorkers(3)]);
    await spreadOver(3);
    const withThree = await api.submit(names('three'));
    await eventually('those are handled', async () => (await api.tasks(withThree)).every(isCompleted), UP);
    const handled = await handledEvents(stack);

    const [whileShrinking] = await Promise.all([api.submit(names('shrinking')), stack.scaleWorkers(1)]);
    await spreadOver(1);
    const ids = [...whileGrowing, ...withThree, ...whileShrinking];
    await eventually('every task is completed', async () => (await api.tasks(ids)).every(isCompleted), UP);

    const tasks = await api.tasks(ids);
    expect(new Set(ids).size).toBe(300);
    expect(tasks.map(({ status }) => status)).toEqual(ids.map(() => 'COMPLETED'));
    const workers = new Set(tasks.map(({ workerId }) => workerId));
    expect(workers.size).toBe(3);

    // The log of each container names what its worker handled: all of it, and nothing twice.
    for (const { id, workerId } of tasks.filter((task) => withThree.includes(task.id))) {
      const workersOf = handled.filter(({ taskId }) => taskId === id).map(({ worker }) => worker);
      expect(workersOf, `task ${id}`).toEqual([workerId]);
    }
    const inLog = handled.filter(({ taskId }) => withThree.includes(taskId));
    expect(new Set(inLog.map(({ container }) => container)).size).toBe(3);
    expect(new Set(inLog.map(({ worker }) => worker))).toEqual(workers);
  });

  it('stay as they are when cluster-init comes again, as after every start', async () => {
    await stack.run('run', '--rm', 'cluster-init');
    const [id = 0] = await api.submit(['after-second-init']);
    await eventually('it is handled', async () => (await api.tasks([id])).every(isCompleted), UP);
  });

  it('have returned all partitions to the one worker that is left', async () => {
    const [left] = [...(await api.ownership())];
    const [container = ''] = (await stack.run('ps', '-q', 'worker-node')).trim().split('\n');
    expect(left).toEqual([container.slice(0, 12), PARTITIONS]);
  });

  it('run a handler that was put into the folder of handlers, once the workers have been restarted', async () => {
    await writeFile(join(handlers, 'mounted.ts'), HANDLER, { mode: 0o644 });
    await stack.run('restart', 'worker-node');
    const [id = NaN] = await api.submit(['mounted']);
    await eventually('it is completed', async () => isCompleted(await api.task(id)), UP);
    expect(await api.task(id)).toMatchObject({ status: 'COMPLETED', attempt: 1, result: { mounted: 42 } });
  });
});

const isCompleted = ({ status }: { status: string }) => status === 'COMPLETED';

interface HandledEvent {
  readonly container: string;
  readonly taskId: number;
  readonly worker: string;
}

/** `logs worker-node | grep "Handling event"`: which worker handled which task. */
async function handledEvents(stack: ComposeStack): Promise<HandledEvent[]> {
  const lines = (await stack.logs('worker-node')).filter(({ text }) => text.includes('Handling event'));
  return lines.map(({ container, text }) => ({
    container,
    ...(JSON.parse(text) as { taskId: number; worker: string }),
  }));
}
