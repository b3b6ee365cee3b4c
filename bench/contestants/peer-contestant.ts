import type { Bench } from '../bench.ts';
import type { BenchProcess } from '../processes.ts';
import type { BulkFlood, Flood, Flooded, Trickle } from '../submitting.ts';
import type { Contestant, Load, Moment, WorkOn } from './contestant.ts';

export interface PeerOptions {
  readonly name: string;
  readonly setup: string;
  /** Name of the module that exports the peer; by default the contestant's. */
  readonly module?: string;
  /** The URL of an empty database, in Postgres or elsewhere. */
  readonly createDatabase: () => Promise<string>;
  readonly env?: Readonly<Record<string, string>>;
}

/** A peer with two processes, one that submits and one that works. */
export class PeerContestant implements Contestant {
  readonly name: string;
  readonly setup: string;
  readonly #bench: Bench;
  readonly #options: PeerOptions;
  #url = '';
  #client: BenchProcess | undefined;
  readonly #workers: BenchProcess[] = [];

  constructor(bench: Bench, options: PeerOptions) {
    this.name = options.name;
    this.setup = options.setup;
    this.#bench = bench;
    this.#options = options;
  }

  get postgresUrl(): string | undefined {
    return this.#url.startsWith('postgres') ? this.#url : undefined;
  }

  async start(): Promise<void> {
    this.#url = await this.#options.createDatabase();
    this.#client = this.#spawn('client');
    await this.#client.call('install');
  }

  async load(load: Load): Promise<void> {
    await this.#call('load', load);
  }

  async work(on: WorkOn): Promise<void> {
    const worker = this.#spawn(`worker-${this.#workers.length + 1}`);
    this.#workers.push(worker);
    await worker.call('work', on);
  }

  ready(): Promise<void> {
    return Promise.resolve();
  }

  settled(): Promise<boolean> {
    const failures = this.#workers.map((worker) => worker.failure());
    return Promise.race([this.#call<boolean>('settled'), ...failures]);
  }

  async starts(): Promise<readonly Moment[]> {
    return (await Promise.all(this.#workers.map((worker) => worker.call<Moment[]>('starts')))).flat();
  }

  trickle(trickle: Trickle): Promise<readonly Moment[]> {
    return this.#call('trickle', trickle);
  }

  flood(flood: Flood): Promise<Flooded> {
    return this.#call('flood', flood);
  }

  floodBulk(flood: BulkFlood): Promise<Flooded> {
    return this.#call('floodBulk', flood);
  }

  async stop(): Promise<void> {
    await Promise.all(
      [...this.#workers, ...(this.#client === undefined ? [] : [this.#client])].map((child) => child.stop()),
    );
    this.#workers.length = 0;
    this.#client = undefined;
  }

  #spawn(role: string): BenchProcess {
    const { name, module = name, env } = this.#options;
    return this.#bench.processes.start({
      name: `${name}-${role}`,
      file: 'bench/contestants/peer-process.ts',
      args: [module, this.#url],
      env: { ...env },
    });
  }

  #call<T>(method: string, ...args: unknown[]): Promise<T> {
    if (this.#client === undefined) throw new Error(`${this.name} is not started`);
    return this.#client.call<T>(method, ...args);
  }
}
