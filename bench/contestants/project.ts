/** This project, as users run it: its own processes, each with its log at the default level in a file. */
import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { systemClock } from '../../libs/runtime/system.ts';
import { findApiPort } from '../../libs/embedded/local-cluster/api-port.ts';
import { clusterReady } from '../../libs/embedded/local-cluster/readiness.ts';
import type { Bench } from '../bench.ts';
import type { BenchProcess, ProcessSpec } from '../processes.ts';
import { execute } from '../servers/postgres.ts';
import type { BulkFlood, Flood, Flooded, Trickle } from '../submitting.ts';
import type { Contestant, Load, LongLoad, Moment } from './contestant.ts';

/** What differs from the defaults: as with the peers, one worker works on many tasks at a time. */
const WORKER_SETTINGS = { WORKER_CONCURRENCY: '1000' };

const HOST = '127.0.0.1';
const READY_DEADLINE_MS = 30_000;
/** The log cuts its times to the millisecond: half of one is what that takes off, on average. */
const CUT_MS = 0.5;

export interface ProjectOptions {
  readonly name: string;
  /** The URL of a database that is empty, or holds what cluster-init takes for its own. */
  readonly createDatabase: () => Promise<string>;
  /** Settings of all its processes, over the defaults. */
  readonly env?: Readonly<Record<string, string>>;
}

export class ProjectContestant implements Contestant {
  readonly name: string;
  readonly setup = `controller, worker-node, scheduler-api, embedded ZooKeeper; ${Object.entries(
    WORKER_SETTINGS,
  )
    .map((setting) => setting.join('='))
    .join(', ')}; 64 partitions; history kept; logs at info to files`;
  readonly #bench: Bench;
  readonly #options: ProjectOptions;
  readonly #running: BenchProcess[] = [];
  #env: Record<string, string> = {};
  #apiUrl = '';
  readonly #workers: BenchProcess[] = [];
  #tasks: BenchProcess | undefined;
  #http: BenchProcess | undefined;

  constructor(bench: Bench, options: ProjectOptions) {
    this.name = options.name;
    this.#bench = bench;
    this.#options = options;
  }

  get postgresUrl(): string | undefined {
    return this.#env['DATABASE_URL'];
  }

  async start(): Promise<void> {
    this.#env = { ...this.#options.env, DATABASE_URL: await this.#options.createDatabase() };
    const data = join(this.#bench.dir, `${this.name}-zookeeper`);
    await rm(data, { recursive: true, force: true });
    const zookeeper = this.#spawn('zookeeper', 'libs/embedded/local-cluster/zookeeper-process.ts', [data]);
    this.#env = { ...this.#env, ZOOKEEPER_CONNECT: await zookeeper.address() };
    await this.#bench.processes.run(this.#app('cluster-init'));
    this.#spawnApp('controller', { CONTROLLER_ID: 'controller-1' });
    const port = await findApiPort(HOST, 0);
    this.#apiUrl = `http://${HOST}:${port}`;
    this.#spawnApp('scheduler-api', { HOST, PORT: String(port) }, this.#profiling('scheduler-api'));
    const args = ['project-tasks', this.postgresUrl ?? ''];
    this.#tasks = this.#spawn('tasks', 'bench/contestants/peer-process.ts', args);
    this.#http = this.#spawn('http-client', 'bench/http/client-process.ts');
    await this.#http.call('open', `${this.#apiUrl}/tasks`, READY_DEADLINE_MS);
  }

  async load(load: Load | LongLoad): Promise<void> {
    await this.#started(this.#tasks).call('load', load);
  }

  work(): Promise<void> {
    const id = `worker-${this.#workers.length + 1}`;
    const spec = this.#app('worker-node', { WORKER_ID: id, ...WORKER_SETTINGS });
    const nodeArgs = this.#profiling('worker-node');
    this.#workers.push(this.#keep({ ...spec, name: `${this.name}-${id}`, nodeArgs }));
    return Promise.resolve();
  }

  ready(): Promise<void> {
    return clusterReady({
      url: this.#apiUrl,
      workerIds: this.#workers.map((_, index) => `worker-${index + 1}`),
      clock: systemClock,
      deadlineMs: READY_DEADLINE_MS,
      signal: new AbortController().signal,
    });
  }

  settled(): Promise<boolean> {
    const failures = this.#running.map((child) => child.failure());
    return Promise.race([this.#started(this.#tasks).call<boolean>('settled'), ...failures]);
  }

  /** By the workers' logs, in which each start is a line; which task is which sample says its payload. */
  starts(): Promise<readonly Moment[]> {
    return this.#startsIn(this.#workers);
  }

  /** Those in one worker, counted from 0. */
  startsOf(worker: number): Promise<readonly Moment[]> {
    return this.#startsIn(this.#workers.slice(worker, worker + 1));
  }

  async killWorker(worker: number): Promise<void> {
    await this.#workers[worker]?.kill();
  }

  /** Stops one as an administrator would. */
  async stopWorker(worker: number): Promise<void> {
    await this.#workers[worker]?.stop();
  }

  /** host:port of its ZooKeeper. */
  get zookeeper(): string {
    return this.#env['ZOOKEEPER_CONNECT'] ?? '';
  }

  /** The processes of the project itself. */
  get apps(): readonly BenchProcess[] {
    return this.#running.filter((child) => child !== this.#tasks && child !== this.#http);
  }

  async #startsIn(workers: readonly BenchProcess[]): Promise<readonly Moment[]> {
    const rows = (await execute(
      this.postgresUrl ?? '',
      `SELECT id, (payload ->> 'sample')::integer AS sample FROM task WHERE (payload ->> 'sample') IS NOT NULL`,
    )) as { id: string; sample: number }[];
    const samples = new Map(rows.map(({ id, sample }) => [Number(id), sample]));
    const starts: Moment[] = [];
    for (const { logFile } of workers) {
      // Line by line: that of a large backlog is longer than a string can be.
      for await (const line of createInterface({ input: createReadStream(logFile) })) {
        if (!line.includes('"Handling event"')) continue;
        const { taskId, time } = JSON.parse(line) as { taskId: number; time: string };
        const sample = samples.get(taskId);
        if (sample !== undefined) starts.push([sample, Date.parse(time) + CUT_MS]);
      }
    }
    return starts;
  }

  trickle(trickle: Trickle): Promise<readonly Moment[]> {
    return this.#started(this.#http).call('trickle', trickle);
  }

  flood(flood: Flood): Promise<Flooded> {
    return this.#started(this.#http).call('flood', flood);
  }

  floodBulk(flood: BulkFlood): Promise<Flooded> {
    return this.#started(this.#http).call('floodBulk', flood);
  }

  async stop(): Promise<void> {
    // ZooKeeper, the first, is needed to the last.
    const [zookeeper, ...others] = this.#running.splice(0);
    await Promise.all(others.map((child) => child.stop()));
    await zookeeper?.stop();
    this.#workers.length = 0;
    this.#tasks = this.#http = undefined;
  }

  #spawnApp(app: string, own: Record<string, string>, nodeArgs: readonly string[] = []): BenchProcess {
    return this.#keep({ ...this.#app(app, own), nodeArgs });
  }

  #app(app: string, own: Record<string, string> = {}): ProcessSpec {
    return {
      name: `${this.name}-${app}`,
      file: `apps/${app}/main.ts`,
      env: { ...this.#env, LOG_FORMAT: 'json', ...own },
    };
  }

  #spawn(role: string, file: string, args: readonly string[] = []): BenchProcess {
    return this.#keep({ name: `${this.name}-${role}`, file, args });
  }

  #keep(spec: ProcessSpec): BenchProcess {
    const child = this.#bench.processes.start(spec);
    this.#running.push(child);
    return child;
  }

  #profiling(app: string): string[] {
    const { options, profileDir } = this.#bench;
    return options.profile ? ['--cpu-prof', `--cpu-prof-dir=${join(profileDir, app)}`] : [];
  }

  #started(child: BenchProcess | undefined): BenchProcess {
    if (child === undefined) throw new Error(`${this.name} is not started`);
    return child;
  }
}
