/** The containers of docker-compose.yml under a project of their own, for one test file. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { findApiPort } from '../../libs/embedded/local-cluster/api-port.ts';
import { findCompose } from '../../libs/testing/real-servers.ts';

export interface ComposeStackOptions {
  /** Names containers, network and volumes. */
  readonly project: string;
  /** Compose files, each laid over those before. */
  readonly files: readonly string[];
  /** What .env could say. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface LogLine {
  /** As compose prefixes it, e.g. `worker-node_1`. */
  readonly container: string;
  readonly text: string;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

export class ComposeStack {
  /** Where the API is. */
  readonly url: string;
  readonly #command: readonly string[];
  readonly #env: NodeJS.ProcessEnv;

  private constructor(command: readonly string[], port: number, env: Readonly<Record<string, string>>) {
    this.#command = command;
    this.#env = { ...process.env, ...env, PORT: String(port) };
    this.url = `http://127.0.0.1:${port}`;
  }

  /** @throws Error where this machine has no compose */
  static async create({ project, files, env = {} }: ComposeStackOptions): Promise<ComposeStack> {
    const compose = await findCompose();
    if (compose === undefined) throw new Error('neither docker compose nor docker-compose');
    const command = [...compose, '-p', project, ...files.flatMap((file) => ['-f', file])];
    return new ComposeStack(command, await findApiPort('127.0.0.1', 0), env);
  }

  /**
   * Runs a compose command to its end and returns what it wrote to standard output.
   * @throws Error with the end of what it wrote to standard error
   */
  async run(...args: readonly string[]): Promise<string> {
    const [program = '', ...rest] = [...this.#command, ...args];
    try {
      const options = { cwd: ROOT, env: this.#env, maxBuffer: MAX_OUTPUT_BYTES };
      return (await promisify(execFile)(program, rest, options)).stdout;
    } catch (error) {
      const { stderr, message } = error as Error & { stderr?: string };
      throw new Error(`compose ${args.join(' ')}: ${stderr?.slice(-2_000) ?? message}`, { cause: error });
    }
  }

  /** Starts what is missing of `count` workers, or stops what is too many, and touches nothing else. */
  async scaleWorkers(count: number): Promise<void> {
    await this.run(
      'up',
      '-d',
      '--no-deps',
      '--no-recreate',
      '--scale',
      `worker-node=${count}`,
      'worker-node',
    );
  }

  async logs(service: string): Promise<LogLine[]> {
    const output = await this.run('logs', '--no-color', service);
    return output.split('\n').flatMap((line) => {
      const [, container, text] = /^(\S+)\s*\| (.*)$/.exec(line) ?? [];
      return container === undefined || text === undefined ? [] : [{ container, text }];
    });
  }

  /** Removes containers, network and volumes. */
  async down(): Promise<void> {
    await this.run('down', '-v', '--remove-orphans', '-t', '5');
  }
}
