import { runController } from '../../apps/controller/controller.ts';
import { clusterPaths } from '../../libs/cluster/paths.ts';
import type { Random } from '../../libs/core/random.ts';
import { Thread } from '../thread.ts';
import { Wire } from '../wire.ts';
import type { World } from '../world.ts';
import { SimulatedZooKeeper } from '../zookeeper/client.ts';
import type { Ensemble } from '../zookeeper/ensemble.ts';
import { simulatedLogger } from './log.ts';
import type { Say } from './log.ts';

export interface ControllerProcessOptions {
  readonly world: World;
  readonly ensemble: Ensemble;
  readonly id: string;
  readonly random: Random;
  readonly sessionTimeoutMs: number;
  readonly wallOffsetMs: number;
  readonly say: Say;
  readonly onExit: (error: Error) => void;
}

/** What apps/controller/main.ts starts, on virtual time. */
export class ControllerProcess {
  readonly id: string;
  readonly main: Thread;
  readonly zkWire: Wire;
  readonly #stopping = new AbortController();
  readonly #ended: Promise<void>;

  constructor({
    world,
    ensemble,
    id,
    random,
    sessionTimeoutMs,
    wallOffsetMs,
    say,
    onExit,
  }: ControllerProcessOptions) {
    this.id = id;
    this.main = new Thread(world, wallOffsetMs);
    this.zkWire = new Wire(world, `${id} zookeeper`);
    const system = { clock: this.main.clock, random, logger: simulatedLogger(say) };
    const zk = new SimulatedZooKeeper({
      ensemble,
      wire: this.zkWire,
      thread: this.main,
      process: id,
      sessionTimeoutMs,
      random,
    });
    const options = { zk, paths: clusterPaths('sim'), id, host: 'sim', ...system };
    this.#ended = runController(options, this.#stopping.signal).then(
      () => zk.close(),
      (error: unknown) => {
        if (!this.dead) onExit(error as Error);
      },
    );
  }

  get dead(): boolean {
    return this.main.dead;
  }

  /** SIGKILL. */
  kill(): void {
    this.main.kill();
  }

  /** SIGTERM. Resolves when the process has ended. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#ended;
    this.kill();
  }
}
