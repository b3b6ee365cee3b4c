import type { Worker } from 'node:worker_threads';
import { startThread } from '../../../libs/runtime/thread.ts';
import type { Held } from '../../../libs/db/stores.ts';
import type { Keeper, KeeperListener } from './keeper.ts';
import type { FromKeeper, KeeperData, ToKeeper } from './messages.ts';

/** The keeper as the main thread sees it: every call is a message to `keeper-thread.ts`. */
export class KeeperClient implements Keeper {
  readonly #thread: Worker;
  #failed = false;
  #finishing = false;
  /** Who waits for what the thread says it has done. */
  readonly #waiting = new Map<'left' | 'finished', () => void>();

  /**
   * @param applicationName of this process' Postgres connections
   * @param thread what it runs
   */
  constructor(
    listener: KeeperListener,
    applicationName: string,
    thread = new URL('./keeper-thread.ts', import.meta.url),
  ) {
    this.#thread = startThread(thread, { applicationName } satisfies KeeperData);
    this.#thread.on('message', (message: FromKeeper) => this.#receive(message, listener));
    this.#thread.on('error', (error) => this.#fail(`keeper thread failed: ${String(error)}`, listener));
    // Before it was told to, it must not, though it sees no error in it: nobody would renew the lease.
    this.#thread.on('exit', (code) => {
      if (this.#finishing) this.#releaseWaiting();
      else this.#fail(`keeper thread ended by itself, with ${code}`, listener);
    });
  }

  beat(inUse: readonly string[]): void {
    this.#send({ type: 'beat', inUse });
  }

  fenceLost(parts: readonly Held[]): void {
    this.#send({ type: 'fenceLost', parts });
  }

  async leave(): Promise<void> {
    const left = this.#told('left');
    this.#send({ type: 'leave' });
    await left;
  }

  async finish(): Promise<void> {
    this.#finishing = true;
    const finished = this.#told('finished');
    this.#send({ type: 'finish' });
    await finished;
    await this.#thread.terminate();
  }

  /** Resolves when the thread has said so, or can no longer. */
  #told(what: 'left' | 'finished'): Promise<void> {
    if (this.#failed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.set(what, resolve);
    });
  }

  #fail(message: string, listener: KeeperListener): void {
    if (this.#failed) return;
    this.#failed = true;
    listener.fatal(message);
    this.#releaseWaiting();
  }

  #releaseWaiting(): void {
    for (const resolve of this.#waiting.values()) resolve();
  }

  #send(message: ToKeeper): void {
    this.#thread.postMessage(message);
  }

  #receive(message: FromKeeper, listener: KeeperListener): void {
    switch (message.type) {
      case 'held':
        listener.held(message.held);
        break;
      case 'fatal':
        this.#fail(message.message, listener);
        break;
      case 'left':
      case 'finished':
        this.#waiting.get(message.type)?.();
        break;
    }
  }
}
