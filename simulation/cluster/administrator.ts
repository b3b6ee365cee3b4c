import { administer } from '../../apps/cluster-admin/admin.ts';
import { readCommandLine } from '../../apps/cluster-admin/command-line.ts';
import type { Paths } from '../../libs/cluster/paths.ts';
import { sleep } from '../../libs/core/clock.ts';
import { invariant } from '../../libs/core/invariant.ts';
import { NO_WISHES } from '../actions.ts';
import { Thread } from '../thread.ts';
import { Wire } from '../wire.ts';
import type { World } from '../world.ts';
import { SimulatedZooKeeper } from '../zookeeper/client.ts';
import type { Ensemble } from '../zookeeper/ensemble.ts';

const ATTEMPTS = 20;
/** What was wished must not outlast the faults. */
const ATTEMPTS_TO_TAKE_BACK = 300;
const AGAIN_AFTER_MS = 300;

/** Somebody at a terminal: `npm run cluster -- …`, one command after the other, each again if it has failed. */
export class Administrator {
  readonly #thread: Thread;
  readonly #zk: SimulatedZooKeeper;
  readonly #world: World;
  readonly #paths: Paths;
  #last: Promise<void> = Promise.resolve();
  #wished = false;

  constructor(world: World, ensemble: Ensemble, paths: Paths) {
    this.#world = world;
    this.#paths = paths;
    this.#thread = new Thread(world, 0);
    this.#zk = new SimulatedZooKeeper({
      ensemble,
      wire: new Wire(world, 'administrator zookeeper'),
      thread: this.#thread,
      process: 'administrator',
      sessionTimeoutMs: 2_000,
      random: world.random('administrator'),
    });
  }

  /** Wishes nothing any more. */
  takeBack(): void {
    if (this.#wished) for (const words of NO_WISHES) this.type(words, ATTEMPTS_TO_TAKE_BACK);
  }

  /** Deletes the znodes of whoever leads, and stands first in line: the next one leads while it does not know. */
  depose(): void {
    this.#last = this.#last.then(async () => {
      const { election, leader } = this.#paths;
      try {
        const { children } = await this.#zk.getChildren(election);
        const sequence = (name: string) => name.slice(name.lastIndexOf('-') + 1);
        const [first] = children.sort((a, b) => (sequence(a) < sequence(b) ? -1 : 1));
        if (first === undefined) return;
        await this.#zk.multi([
          { op: 'delete', path: leader, version: -1 },
          { op: 'delete', path: `${election}/${first}`, version: -1 },
        ]);
      } catch {
        // Nobody leads, or ZooKeeper is away.
      }
    });
  }

  /** Types a command. It takes its turn after those before. */
  type(words: readonly string[], attempts = ATTEMPTS): void {
    this.#wished = true;
    const line = readCommandLine(words);
    invariant(line.kind === 'run', `no such command: ${words.join(' ')}`);
    this.#last = this.#last.then(async () => {
      for (let attempt = 1; attempt <= attempts; attempt += 1) {
        try {
          await administer(
            {
              zk: this.#zk,
              clock: this.#thread.clock,
              random: this.#world.random('administrator'),
              timeoutMs: 1_000,
              paths: this.#paths,
              cluster: 'sim',
            },
            line.command,
          );
          return;
        } catch {
          // ZooKeeper is away or was wiped: the administrator sees an error, and tries again for a while.
          await sleep(this.#thread.clock, AGAIN_AFTER_MS);
        }
      }
    });
  }
}
