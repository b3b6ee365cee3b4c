import type { Clock } from '../../core/clock.ts';
import { StartupError } from '../../runtime/app-process.ts';
import type { Output } from './output.ts';
import type { ProcessSpec } from './supervised-process.ts';
import { SupervisedProcess } from './supervised-process.ts';

/** Something that runs until it is stopped, unless it ends by itself. */
export interface Service {
  readonly name: string;
  /** How it ended, e.g. `exited with code 1`. Never rejects. */
  readonly ended: Promise<string>;
  /** Resolves once it has ended; after `graceMs` it is killed. */
  stop(graceMs: number): Promise<unknown>;
  /** Ends it at once; a {@link stop} under way then resolves. */
  kill(): void;
}

export interface SupervisorOptions {
  readonly output: Output;
  readonly clock: Clock;
  /** How long a service may take to stop before it is killed, in milliseconds. */
  readonly stopGraceMs: number;
}

/**
 * The services of one local cluster, in stages: what is started later may use what was started before, and is
 * stopped first.
 *
 * ```
 * running ── stop() ──▶ stopping: the last stage first, all of a stage at once ──▶ stopped
 *    └── a service ends by itself: `fault` resolves; the caller stops the rest
 * ```
 */
export class Supervisor {
  /** Which service ended by itself first, and how. Never rejects. */
  readonly fault: Promise<string>;
  readonly #options: SupervisorOptions;
  readonly #stages: (readonly Service[])[] = [];
  #reportFault: (what: string) => void = () => undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.fault = new Promise((resolve) => (this.#reportFault = resolve));
  }

  /** Looks after a service that is running already, as a stage of its own. */
  adopt(service: Service): void {
    this.#stages.push([service]);
    this.#watch(service);
  }

  /**
   * Starts a stage of processes.
   * @throws StartupError once {@link stop} has been called
   */
  start(specs: readonly ProcessSpec[]): SupervisedProcess[] {
    const stage = this.#spawn(specs);
    for (const service of stage) this.#watch(service);
    return stage;
  }

  /**
   * Runs a job to its end.
   * @throws StartupError when it exits with another code than 0
   */
  async run(spec: ProcessSpec): Promise<void> {
    const [job] = this.#spawn([spec]);
    const how = await job?.ended;
    if (how !== 'exited with code 0') throw new StartupError(`${spec.name} ${how ?? 'did not start'}`);
  }

  /** Stops everything, each service within the grace time. Idempotent. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stopStages();
    return this.#stopped;
  }

  /** Kills what is still running, so that a {@link stop} under way comes to its end. */
  kill(): void {
    for (const service of this.#stages.flat()) service.kill();
  }

  #spawn(specs: readonly ProcessSpec[]): SupervisedProcess[] {
    if (this.#stopped !== undefined) throw new StartupError('stopped while starting');
    const { output, clock } = this.#options;
    const stage = specs.map((spec) => new SupervisedProcess({ spec, output, clock }));
    this.#stages.push(stage);
    return stage;
  }

  #watch(service: Service): void {
    void service.ended.then((how) => {
      if (this.#stopped === undefined) this.#reportFault(`${service.name} ${how}`);
    });
  }

  async #stopStages(): Promise<void> {
    for (const stage of this.#stages.toReversed()) {
      await Promise.all(stage.map((service) => service.stop(this.#options.stopGraceMs)));
    }
  }
}
