import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { createTestDatabase } from '../../libs/testing/postgres.ts';
import { startTestZooKeeper } from '../../libs/testing/zookeeper.ts';
import type { LauncherOptions } from './launcher-under-test.ts';
import { LauncherUnderTest } from './launcher-under-test.ts';

/** What a newcomer is promised, on a machine with nothing else to do. */
const READY_WITHIN_MS = 15_000;

interface Task {
  readonly id: number;
  readonly status: string;
}

describe('npm start', () => {
  let parent: string;
  let dataDir: string;
  let launchers: LauncherUnderTest[];
  let servers: (() => Promise<unknown>)[];
  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), 'local-cluster-'));
    // Postgres does not run as root: where we are, it must be able to get there as someone else.
    await chmod(parent, 0o755);
    dataDir = join(parent, 'data');
    launchers = [];
    servers = [];
  });
  afterEach(async () => {
    for (const launcher of launchers) await launcher.kill();
    for (const stop of servers) await stop();
    await rm(parent, { recursive: true, force: true, maxRetries: 10 });
  });

  function launch(args: readonly string[], options?: LauncherOptions): LauncherUnderTest {
    const launcher = new LauncherUnderTest(args, options);
    launchers.push(launcher);
    return launcher;
  }
  const start = (args: readonly string[] = [], options?: LauncherOptions) =>
    launch(['--port', '0', '--data', dataDir, ...args], options);

  /** An empty database of a server that is there already. */
  async function givenDatabase(): Promise<string> {
    const database = await createTestDatabase({ migrated: false });
    servers.push(() => database.drop());
    return database.url;
  }

  it('handles tasks, stops in order at Ctrl-C and leaves nothing but its data', async () => {
    // Twice as many processes waiting as there are processors: all take twice as long.
    const busy = Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());
    const startedMs = performance.now();
    const first = start();
    const url = await first.ready();
    const readyMs = performance.now() - startedMs;
    console.log(
      `ready after ${seconds(readyMs)}, of ${seconds(READY_WITHIN_MS * busy)} on so busy a machine`,
    );
    expect(readyMs).toBeLessThan(READY_WITHIN_MS * busy);

    const { id } = await submit(url, 'survivor');
    await completed(url, id);
    expect(first.lines).toContainEqual(expect.stringMatching(/^worker-[123] {6}\| .*Handling event/));

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

    const npm = start(['--workers', '1', '--controllers', '2'], { npm: true });
    expect(await get(await npm.ready(), id)).toMatchObject({ id, status: 'COMPLETED' });
    // To npm alone, as by a service manager; the shell between it and us would not pass it on.
    npm.signal('SIGTERM');
    await npm.leavesNothing();
    expect(npm.lines).toContain('stopped');
  });

  it('leaves nothing when it or a process of it is killed, and starts again, with another database too', async () => {
    const killed = start(['--workers', '1']);
    const { id } = await submit(await killed.ready(), 'survivor');
    killed.signal('SIGKILL');
    await killed.leavesNothing();

    const next = start(['--workers', '1']);
    await completed(await next.ready(), id);
    await next.crash('bin/postgres -D');
    expect(await next.exit).toBe(1);
    expect(next.lines).toContainEqual(expect.stringMatching(/^postgres ended .*: stopping everything$/));
    await next.leavesNothing();

    const elsewhere = start(['--workers', '1'], { env: { DATABASE_URL: await givenDatabase() } });
    const url = await elsewhere.ready();
    await completed(url, (await submit(url, 'elsewhere')).id);
    await elsewhere.crash('apps/worker-node/main.ts');
    expect(await elsewhere.exit).toBe(1);
    expect(elsewhere.lines).toContain('worker-1 was killed by SIGKILL: stopping everything');
    await elsewhere.leavesNothing();
  });

  it('uses the servers it is given; says which process ended by itself, and stops the others', async () => {
    const zookeeper = await startTestZooKeeper({ tickTimeMs: 500 });
    servers.push(() => zookeeper.stop());
    const env = {
      DATABASE_URL: await givenDatabase(),
      ZOOKEEPER_CONNECT: zookeeper.connectString,
      LOG_FORMAT: 'json',
    };
    const launcher = start(['--workers', '1'], { env });
    await launcher.ready();
    expect(launcher.lines).toContainEqual(expect.stringMatching(/^worker-1 +\| \{"level":"info",/));
    const processes = await launcher.processes();
    expect([...processes.values()].filter((command) => command.includes(dataDir))).toHaveLength(1);
    await launcher.crash('apps/controller/main.ts');
    expect(await launcher.exit).toBe(1);
    expect(launcher.lines).toContain('controller-1 was killed by SIGKILL: stopping everything');
    await launcher.leavesNothing();
  });

  it('waits for what is running, but not past a second Ctrl-C', async () => {
    const launcher = start(['--workers', '1'], { env: { DATABASE_URL: await givenDatabase() } });
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
    await mkdir(join(parent, 'sealed'), { mode: 0o555 });
    // To root nothing is sealed.
    const account = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : undefined;
    const cases: (LauncherOptions & { args: string[]; exit: number; line: string })[] = [
      {
        args: ['--port', String(port), '--data', dataDir],
        exit: 1,
        line: `port ${port} on 127.0.0.1 is in use`,
      },
      { args: ['--wrokers', '5'], exit: 2, line: "Unknown option '--wrokers'" },
      { args: ['--port', '1000000'], exit: 2, line: '--port: "1000000": must be a whole number' },
      { args: ['--port', '0', '--data', join(parent, 'file/data')], exit: 1, line: 'lies under, a file' },
      {
        args: ['--port', '0', '--data', join(parent, 'sealed/data')],
        account,
        exit: 1,
        line: 'no permission',
      },
      { args: [], env: { SHUTDOWN_GRACE_MS: 'abc' }, exit: 2, line: 'SHUTDOWN_GRACE_MS: "abc": must be' },
    ];
    for (const { args, exit, line, ...options } of cases) {
      const launcher = launch(args, options);
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

const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`;

const lastLineOf = (process: string, lines: readonly string[]) =>
  lines.findLastIndex((line) => line.startsWith(`${process} `));
