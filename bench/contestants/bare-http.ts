import type { Bench } from '../bench.ts';
import type { BenchProcess } from '../processes.ts';
import type { Flood, Flooded } from '../submitting.ts';
import type { Contestant } from './contestant.ts';

const READY_DEADLINE_MS = 10_000;

/** The bare HTTP server and a load generator: it takes submissions, and that is all. */
export class BareHttpContestant implements Pick<Contestant, 'name' | 'setup' | 'start' | 'flood' | 'stop'> {
  readonly name = 'fastify';
  readonly setup = 'answers the same JSON without a database, no log, in a process of its own';
  readonly #bench: Bench;
  #server: BenchProcess | undefined;
  #client: BenchProcess | undefined;

  constructor(bench: Bench) {
    this.#bench = bench;
  }

  async start(): Promise<void> {
    const { processes } = this.#bench;
    this.#server = processes.start({ name: 'fastify-server', file: 'bench/http/bare-server-process.ts' });
    this.#client = processes.start({ name: 'fastify-http-client', file: 'bench/http/client-process.ts' });
    const url = await this.#server.call<string>('listen');
    await this.#client.call('open', `${url}/tasks`, READY_DEADLINE_MS);
  }

  flood(flood: Flood): Promise<Flooded> {
    if (this.#client === undefined) throw new Error('fastify is not started');
    return this.#client.call('flood', flood);
  }

  async stop(): Promise<void> {
    await this.#client?.stop();
    await this.#server?.stop();
    this.#client = this.#server = undefined;
  }
}
