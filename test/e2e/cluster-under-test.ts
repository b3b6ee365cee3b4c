import { expect } from 'vitest';
import { partitionOf } from '../../libs/core/partition.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import { createTestDatabase } from '../../libs/testing/postgres.ts';
import { startTestZooKeeper } from '../../libs/testing/zookeeper.ts';
import { AppUnderTest } from './app-under-test.ts';
import type { LogLine } from './app-under-test.ts';

/** T in these tests; with ZooKeeper's tick of 500 ms a crash is made good within T + tick + 1 s. */
export const SESSION_TIMEOUT_MS = 4_000;
export const FAILOVER_MS = SESSION_TIMEOUT_MS + 500 + 1_000;

/** What a process may take to start where others take the processors: usually it is a second. */
const START_MS = 60_000;

export interface HandlerStart {
  readonly worker: string;
  readonly taskId: number;
  readonly attempt: number;
  readonly partition: number;
  readonly timeMs: number;
}

export interface TaskView {
  readonly id: number;
  readonly status: string;
  readonly partitionId: number;
  readonly attempt: number;
  readonly workerId?: string | null;
  readonly scheduledTime: string;
}

interface ClusterView {
  readonly partitions: readonly { id: number; owner: string | null; epoch: number }[];
  readonly workers: readonly { id: string; alive: boolean; partitions: readonly number[] }[];
}

export interface ClusterOptions {
  readonly workers: number;
  readonly controllers?: number;
  readonly partitions?: number;
  /** A server of the test's own, which it can restart. */
  readonly databaseUrl?: string;
  /** host:port of a ZooKeeper of the test's own, or of a network before it. */
  readonly zookeeperConnect?: string;
  readonly env?: Record<string, string>;
  /** What is different for the workers: another way to the database, say. */
  readonly workerEnv?: (databaseUrl: string) => Promise<Record<string, string>>;
  /** What the test starts itself, before the workers. */
  readonly beforeWorkers?: (cluster: ClusterUnderTest) => Promise<void>;
}

/** A whole cluster of real processes, and the record of every handler start in it. */
export class ClusterUnderTest {
  readonly apps = new Map<string, AppUnderTest>();
  readonly starts: HandlerStart[] = [];
  readonly #env: Record<string, string>;
  readonly #release: (() => Promise<void>)[];
  readonly #partitions: number;
  #url = '';
  #keys = 0;

  private constructor(env: Record<string, string>, release: (() => Promise<void>)[]) {
    this.#env = env;
    this.#partitions = Number(env.PARTITIONS);
    this.#release = release;
  }

  /** Starts everything and waits until the workers own all partitions evenly. */
  static async start(options: ClusterOptions): Promise<ClusterUnderTest> {
    const release: (() => Promise<void>)[] = [];
    let { zookeeperConnect } = options;
    if (zookeeperConnect === undefined) {
      const zookeeper = await startTestZooKeeper({ tickTimeMs: 500 });
      release.push(() => zookeeper.stop());
      zookeeperConnect = zookeeper.connectString;
    }
    let databaseUrl = options.databaseUrl;
    if (databaseUrl === undefined) {
      const database = await createTestDatabase({ migrated: false });
      release.push(() => database.drop());
      databaseUrl = database.url;
    }
    const cluster = new ClusterUnderTest(
      {
        DATABASE_URL: databaseUrl,
        ZOOKEEPER_CONNECT: zookeeperConnect,
        CLUSTER_NAME: `e2e-${process.pid}-${Math.floor(performance.now())}`,
        PARTITIONS: String(options.partitions ?? 64),
        SESSION_TIMEOUT_MS: String(SESSION_TIMEOUT_MS),
        PORT: '0',
        ...options.env,
      },
      release,
    );
    try {
      const init = cluster.startInit();
      const code = await init.exit();
      if (code !== 0) throw new Error(`cluster-init ended with ${code}:\n${init.transcript()}`);
      for (let i = 1; i <= (options.controllers ?? 1); i += 1) cluster.startController(`controller-${i}`);
      await options.beforeWorkers?.(cluster);
      const workerEnv = (await options.workerEnv?.(databaseUrl)) ?? {};
      for (let i = 1; i <= options.workers; i += 1) cluster.startWorker(`worker-${i}`, workerEnv);
      await cluster.startApi();
      await cluster.balanced(options.workers, START_MS);
    } catch (error) {
      const transcript = cluster.transcript();
      await cluster.stop();
      throw new Error(`the cluster did not come up:\n${transcript}`, { cause: error });
    }
    return cluster;
  }

  startWorker(name: string, env: Record<string, string> = {}): AppUnderTest {
    return this.#spawn(name, 'worker-node', { WORKER_ID: name, ...env });
  }

  startController(name: string, env: Record<string, string> = {}): AppUnderTest {
    return this.#spawn(name, 'controller', { CONTROLLER_ID: name, ...env });
  }

  startInit(env: Record<string, string> = {}): AppUnderTest {
    return this.#spawn('cluster-init', 'cluster-init', env);
  }

  /** `npm run cluster -- …` */
  async administer(...args: string[]): Promise<void> {
    const command = this.#spawn('cluster-admin', 'cluster-admin', {}, args);
    const code = await command.exit();
    if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}:\n${command.transcript()}`);
  }

  async startApi(): Promise<AppUnderTest> {
    const api = this.#spawn('api', 'scheduler-api');
    this.#url = await eventually(
      'the API listens',
      () =>
        api.lines.flatMap(
          ({ msg, fields }) => /https?:\/\/[\d.]+:\d+/.exec(`${msg} ${JSON.stringify(fields)}`)?.[0] ?? [],
        )[0],
      { withinMs: START_MS },
    );
    await eventually('the API is ready', async () => (await fetch(`${this.#url}/readyz`)).ok, {
      withinMs: START_MS,
    });
    return api;
  }

  get databaseUrl(): string {
    return this.#env.DATABASE_URL ?? '';
  }

  get name(): string {
    return this.#env.CLUSTER_NAME ?? '';
  }

  app(name: string): AppUnderTest {
    const app = this.apps.get(name);
    if (app === undefined) throw new Error(`no app ${name}`);
    return app;
  }

  request(path: string, init?: RequestInit): Promise<Response> {
    return fetch(`${this.#url}${path}`, init);
  }

  post(body: Record<string, unknown>): Promise<Response> {
    return this.request('/tasks', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  }

  async submit(body: Record<string, unknown>): Promise<TaskView> {
    const response = await this.post(body);
    const text = await response.text();
    if (response.status !== 201) throw new Error(`POST /tasks: ${response.status} ${text}`);
    return JSON.parse(text) as TaskView;
  }

  /** Submits to a partition that `worker` owns now. */
  async submitTo(worker: string, body: Record<string, unknown>): Promise<TaskView> {
    const owned = [...(await this.owners())]
      .filter(([, owner]) => owner === worker)
      .map(([partition]) => partition);
    const partition = owned[this.#keys % owned.length];
    if (partition === undefined) throw new Error(`${worker} owns nothing`);
    return this.submitToPartition(partition, body);
  }

  /** Submits with a key that falls into `partition`. */
  async submitToPartition(partition: number, body: Record<string, unknown>): Promise<TaskView> {
    let key: string;
    do key = `key-${this.#keys++}`;
    while (partitionOf(key, this.#partitions) !== partition);
    return this.submit({ ...body, key });
  }

  async task(id: number): Promise<TaskView> {
    return (await (await this.request(`/tasks/${id}`)).json()) as TaskView;
  }

  async view(): Promise<ClusterView> {
    return (await (await this.request('/cluster')).json()) as ClusterView;
  }

  /** Partition → owner. */
  async owners(): Promise<Map<number, string | null>> {
    return new Map((await this.view()).partitions.map(({ id, owner }) => [id, owner]));
  }

  /** How many partitions each worker owns, ascending. */
  async loads(): Promise<number[]> {
    const counts = new Map<string, number>();
    for (const owner of (await this.owners()).values()) {
      if (owner !== null) counts.set(owner, (counts.get(owner) ?? 0) + 1);
    }
    return [...counts.values()].sort((a, b) => a - b);
  }

  /** Waits until exactly `workers` own all partitions, with loads that differ by one at most. */
  async balanced(workers: number, withinMs = 40_000): Promise<number[]> {
    try {
      return await eventually(
        `${workers} workers own all partitions evenly`,
        async () => {
          const owners = [...(await this.owners()).values()];
          const loads = await this.loads();
          const even = (loads.at(-1) ?? 0) - (loads[0] ?? 0) <= 1;
          return loads.length === workers && !owners.includes(null) && even && loads;
        },
        { withinMs },
      );
    } catch (error) {
      throw new Error(`the workers own ${(await this.loads()).join(', ')}:\n${this.transcript()}`, {
        cause: error,
      });
    }
  }

  async ended(id: number, withinMs: number): Promise<TaskView> {
    return eventually(
      `task ${id} has ended`,
      async () => {
        const task = await this.task(id);
        return ['COMPLETED', 'FAILED'].includes(task.status) && task;
      },
      { withinMs },
    );
  }

  startsOf(id: number): HandlerStart[] {
    return this.starts.filter(({ taskId }) => taskId === id);
  }

  /** Nothing was started twice at the same (id, attempt). */
  expectNoDoubleStarts(): void {
    const seen = new Map<string, HandlerStart>();
    const doubled: HandlerStart[][] = [];
    for (const start of this.starts) {
      const key = `${start.taskId}/${start.attempt}`;
      const before = seen.get(key);
      if (before !== undefined) doubled.push([before, start]);
      seen.set(key, start);
    }
    expect(doubled).toEqual([]);
  }

  transcript(): string {
    return [...this.apps.values()].map((app) => app.transcript(30)).join('\n');
  }

  async stop(): Promise<void> {
    const apps = [...this.apps.values()].reverse();
    for (const app of apps) app.signal('SIGCONT');
    await Promise.all(apps.map((app) => app.kill()));
    for (const release of this.#release.splice(0).reverse()) await release();
  }

  #spawn(name: string, app: string, env: Record<string, string> = {}, args: string[] = []): AppUnderTest {
    const onLine = ({ msg, timeMs, fields }: LogLine) => {
      if (msg !== 'Handling event') return;
      const { taskId, attempt, partition } = fields as { taskId: number; attempt: number; partition: number };
      this.starts.push({ worker: name, taskId, attempt, partition, timeMs });
    };
    const started = new AppUnderTest(name, app, { ...this.#env, ...env }, onLine, args);
    this.apps.set(name, started);
    return started;
  }
}
