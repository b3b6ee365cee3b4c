import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { createTestDatabase } from '../../libs/testing/postgres.ts';
import { startTestZooKeeper } from '../../libs/testing/zookeeper.ts';
import { LauncherUnderTest } from './launcher-under-test.ts';

interface Task {
  readonly id: number;
  readonly status: string;
}

describe('npm start', () => {
  let parent: string;
  let dataDir: string;
  let launchers: LauncherUnderTest[];
  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), 'local-cluster-'));
    // Postgres does not run as root: where we are, it must be able to get there as someone else.
    await chmod(parent, 0o755);
    dataDir = join(parent, 'data');
    launchers = [];
  });
  afterEach(async () => {
    for (const launcher of launchers) await launcher.kill();
    await rm(parent, { recursive: true, force: true, maxRetries: 10 });
  });

  function launch(args: readonly string[], env?: NodeJS.ProcessEnv): LauncherUnderTest {
    const launcher = new LauncherUnderTest(args, env);
    launchers.push(launcher);
    return launcher;
  }
  const start = (...args: readonly string[]) => launch(['--port', '0', '--data', dataDir, ...args]);

  it('handles tasks, stops in order at Ctrl-C and leaves nothing but its data', async () => {
    const first = start('--workers', '2');
    const url = await first.ready();
    const { id } = await submit(url, 'survivor');
    await completed(url, id);
    expect(first.lines).toContainEqual(expect.stringMatching(/^worker-[12] {6}\| .*Handling event/));

    const second = start();
    expect(await second.exit).toBe(1);
    expect(second.lines).toEqual([
      expect.stringContaining(`${dataDir} is in use by the server with pid ${first.pid}`),
    ]);

    first.ctrlC();
    expect(await first.exit).toBe(0);
    expect(lastLineOf('scheduler-api', first.lines)).toBeLessThan(lastLineOf('worker-1', first.lines));
    expect(lastLineOf('worker-2', first.lines)).toBeLessThan(lastLineOf('zookeeper', first.lines));
    expect(lastLineOf('zookeeper', first.lines)).toBeLessThan(lastLineOf('postgres', first.lines));
    await first.leavesNothing();

    const third = start('--workers', '1', '--controllers', '2');
    expect(await get(await third.ready(), id)).toMatchObject({ id, status: 'COMPLETED' });
    third.signal('SIGTERM');
    expect(await third.exit).toBe(0);
    await third.leavesNothing();
  });

  it('leaves nothing when it is killed itself, and starts again', async () => {
    const killed = start('--workers', '1');
    const { id } = await submit(await killed.ready(), 'survivor');
    killed.signal('SIGKILL');
    await killed.leavesNothing();

    const next = start('--workers', '1');
    await completed(await next.ready(), id);
    next.ctrlC();
    expect(await next.exit).toBe(0);
    await next.leavesNothing();
  });

  it('uses the servers it is given; says which process ended by itself, and stops the others', async () => {
    const database = await createTestDatabase({ migrated: false });
    const zookeeper = await startTestZooKeeper({ tickTimeMs: 500 });
    try {
      const env = { DATABASE_URL: database.url, ZOOKEEPER_CONNECT: zookeeper.connectString };
      const launcher = launch(['--port', '0', '--data', dataDir, '--workers', '1'], env);
      await launcher.ready();
      const processes = await launcher.processes();
      expect([...processes.values()].filter((command) => command.includes(dataDir))).toHaveLength(1);
      const [controller = 0] = [...processes].flatMap(([pid, command]) =>
        command.includes('apps/controller/main.ts') ? [pid] : [],
      );
      process.kill(controller, 'SIGKILL');
      expect(await launcher.exit).toBe(1);
      expect(launcher.lines).toContain('controller-1 was killed by SIGKILL: stopping everything');
      await launcher.leavesNothing();
    } finally {
      await zookeeper.stop();
      await database.drop();
    }
  });

  it('waits for what is running, but not past a second Ctrl-C', async () => {
    const launcher = start('--workers', '1');
    await submit(await launcher.ready(), 'demo', { sleepMs: 60_000 });
    await eventually('the task runs', () => launcher.lines.some((line) => line.includes('Handling event')), {
      withinMs: 20_000,
    });
    launcher.ctrlC();
    await eventually('the worker drains', () => launcher.lines.some((line) => DRAINING.test(line)), {
      withinMs: 10_000,
    });
    let exit: number | string | undefined;
    void launcher.exit.then((code) => (exit = code));
    // Within a second of the first it would count as the same one: pressed until it is heard.
    const ended = () => {
      if (exit === undefined) launcher.ctrlC();
      return exit !== undefined;
    };
    await eventually('it ends', ended, { withinMs: 8_000, everyMs: 500 });
    expect(exit).toBe(0);
    await launcher.leavesNothing();
  });

  it('can be interrupted while it starts', async () => {
    const launcher = start();
    await eventually('a first line', () => launcher.lines.length > 0, { withinMs: 30_000 });
    launcher.ctrlC();
    expect(await launcher.exit).toBe(0);
    await launcher.leavesNothing();
  });

  it('refuses what it cannot do in one line, before anything is started', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address() as AddressInfo;
    await writeFile(join(parent, 'file'), '');
    const cases = [
      {
        args: ['--port', String(port), '--data', dataDir],
        exit: 1,
        line: `port ${port} on 127.0.0.1 is in use`,
      },
      { args: ['--wrokers', '5'], exit: 2, line: "Unknown option '--wrokers'" },
      { args: ['--port', '1000000'], exit: 2, line: '--port: "1000000": must be a whole number' },
      { args: ['--port', '0', '--data', join(parent, 'file/data')], exit: 1, line: 'lies under, a file' },
    ];
    for (const { args, exit, line } of cases) {
      const launcher = launch(args);
      expect(await launcher.exit).toBe(exit);
      expect(launcher.lines).toEqual([expect.stringContaining(line)]);
      expect((await launcher.processes()).size).toBe(0);
    }
    holder.close();
    expect(existsSync(dataDir)).toBe(false);
  });
});

/** A worker that has been told to stop. */
const DRAINING = /^worker-1 .*SIGTERM: stopping/;

async function submit(url: string, name: string, payload: object | null = null): Promise<Task> {
  const response = await fetch(`${url}/tasks`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ name, payload }),
  });
  expect(response.status).toBe(201);
  return (await response.json()) as Task;
}

async function get(url: string, id: number): Promise<Task> {
  return (await (await fetch(`${url}/tasks/${id}`)).json()) as Task;
}

async function completed(url: string, id: number): Promise<void> {
  const isCompleted = async () => (await get(url, id)).status === 'COMPLETED';
  await eventually(`task ${id} is completed`, isCompleted, { withinMs: 20_000 });
}

const lastLineOf = (process: string, lines: readonly string[]) =>
  lines.findLastIndex((line) => line.startsWith(`${process} `));
